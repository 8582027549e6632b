"""Names that a client and a server share, on the broker and in the result backend."""

from __future__ import annotations

import re
from typing import Any

__all__ = [
    "DEPOSIT",
    "GIVEN_PREFIX",
    "MAILBOX_PREFIX",
    "MOST_KEPT",
    "ORIGINS",
    "PRUNE_TASK_NAME",
    "REPLY_PREFIX",
    "TASK_NAME",
    "answers_key",
    "given_key",
    "is_redis",
    "kept_seconds",
    "parked_key",
    "redis_url",
    "reply_key",
    "request_of",
    "sending_of",
    "task_keywords",
    "without_passwords",
    "worker_key",
]

#: The only Celery task of the protocol.
TASK_NAME = "django_rpc.call"
#: The task that Celery beat calls at the service, to prune its ledger.
PRUNE_TASK_NAME = "django_rpc.prune"
#: Prefix of the keys of reply lists, before the id of the request.
REPLY_PREFIX = "django_rpc:reply:"

#: Prefix of the names of reply queues, for clients with the RESULT_BACKEND ``rpc://``.
MAILBOX_PREFIX = "django_rpc.reply."

#: Prefix of the keys of values for a message, before the id of the message.
GIVEN_PREFIX = "django_rpc:given:"
#: The field of this hash that contains the message itself, until it is published. The other fields are request ids, and
#: a request id cannot have this form.
DEPOSIT = "$message"
#: The field with the ids of the requests that the message waits for, until it is published.
ORIGINS = "$origins"
#: Minimum time to keep a message and its values, in seconds, and the maximum time without another setting.
_LEAST_KEPT, MOST_KEPT = 600, 3_600

_SENDING = "::"
_CELERY_CERT_REQS = re.compile(r"(?<=ssl_cert_reqs=)CERT_(\w+)")


def reply_key(request_id: str) -> str:
    """Return the key of the Redis list that receives the answer to a request.

    >>> reply_key("7f")
    'django_rpc:reply:7f'
    """
    return REPLY_PREFIX + request_id


def worker_key(queue: str) -> str:
    """Return the key, on a Redis broker, that exists while a worker consumes the queue.

    >>> worker_key("django_rpc")
    'django_rpc:worker:django_rpc'
    """
    return f"django_rpc:worker:{queue}"


def answers_key(queue: str) -> str:
    """Return the key, in the Redis of a worker's RESULT_BACKEND, that exists while the worker consumes the queue.

    >>> answers_key("django_rpc")
    'django_rpc:answers:django_rpc'
    """
    return f"django_rpc:answers:{queue}"


def given_key(message_id: str) -> str:
    """Return the key of the Redis hash for a message that waits for other services, and for their values.

    >>> given_key("7f")
    'django_rpc:given:7f'
    """
    return GIVEN_PREFIX + message_id


def parked_key(service: str, client: str) -> str:
    """Return the Redis sorted set of the values that a service has parked for one client.

    >>> parked_key("stock", "shop")
    'django_rpc:parked:stock:shop'
    """
    return f"django_rpc:parked:{service}:{client}"


def kept_seconds(seconds: float | None, most: int = MOST_KEPT) -> int:
    """Return how long that hash is kept, for a message that has ``seconds`` left (None: no limit).

    >>> kept_seconds(5.0), kept_seconds(1800.0), kept_seconds(None)
    (600, 1860, 3600)
    """
    return most if seconds is None else int(min(max(seconds + 60, _LEAST_KEPT), most))


def task_keywords(reply_to: str | None, token: str | None) -> dict[str, Any]:
    """Return the keyword arguments of the task. An unsigned message has no ``token``, as before tokens existed.

    >>> task_keywords(None, None)
    {'reply_to': None}
    """
    return {"reply_to": reply_to} if token is None else {"reply_to": reply_to, "token": token}


def sending_of(request_id: str, number: str) -> str:
    """Return the id of one message among several messages for the same request. Each message has its reply list.

    >>> sending_of("order-4711", "a1")
    'order-4711::a1'
    """
    return f"{request_id}{_SENDING}{number}"


def request_of(message_id: str) -> str:
    """Return the id of the request in a message.

    >>> request_of("order-4711::a1"), request_of("7f")
    ('order-4711', '7f')
    """
    return message_id.partition(_SENDING)[0]


def is_redis(url: str | None) -> bool:
    """Return True if a RESULT_BACKEND is a Redis server, so that answers arrive on reply lists.

    >>> is_redis("redis://localhost/"), is_redis("rpc://"), is_redis(None)
    (True, False, False)
    """
    return url is not None and url.startswith(("redis://", "rediss://", "unix://"))


def redis_url(url: str) -> str:
    """Convert the URL of a result backend to the form of the package redis; Celery spells one option differently.

    >>> redis_url("rediss://host/0?ssl_cert_reqs=CERT_NONE")
    'rediss://host/0?ssl_cert_reqs=none'
    """
    return _CELERY_CERT_REQS.sub(lambda match: match[1].lower(), url)


_PASSWORD = re.compile(r"(//[^/@:;]*):[^/@;]*@")


def without_passwords(url: str | None) -> str:
    """Return the URL of a broker or a result backend with each password masked, for errors and logs.

    A URL of several hosts keeps all of them; kombu's ``maybe_sanitize_url`` refuses such a URL.

    >>> without_passwords("amqp://guest:secret@localhost//")
    'amqp://guest:**@localhost//'
    >>> without_passwords("sentinel://:secret@a:1;sentinel://:secret@b:2")
    'sentinel://:**@a:1;sentinel://:**@b:2'
    """
    return _PASSWORD.sub(r"\1:**@", url or "")
