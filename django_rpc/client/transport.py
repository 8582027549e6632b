"""How a request's bytes reach a server and the answer's bytes come back: the interface, and the way in-process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from kombu.utils.imports import symbol_by_name

from django_rpc.client.config import Config
from django_rpc.client.errors import ImproperSettings
from django_rpc.client.forks import forget_after_fork
from django_rpc.wire.names import TASK_NAME, task_keywords

__all__ = [
    "Answered",
    "EagerTransport",
    "Options",
    "Reply",
    "Transport",
    "Waiting",
    "placed",
    "put_in_place",
    "transport_for",
]

#: Where the server half keeps its application, by name: client/ does not import it.
_WORKER_APP = "django_rpc.celery.app:app"


@dataclass(frozen=True, slots=True)
class Options:
    """How one call is made: ``timeout`` in seconds (None: no limit), by the priority queue or not."""

    timeout: float | None = None
    priority: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """The requests that a message waits for, by their ids, since it is given their values by their services.

    ``failures``: for the reply lists of those (and of what they wait for) on which nothing but a failure comes, what
    makes the error of it.
    """

    origins: tuple[str, ...]
    failures: Mapping[str, Callable[[bytes], Exception]]


class Reply(Protocol):
    """The way back of one request."""

    def wait(self, timeout: float | None) -> bytes:
        """The answer.  Raises RpcTimeout, ResultBackendUnavailable or WorkerLost; after a time-out one may ask again.

        A timeout of 0 asks once without waiting.
        """

    def ready(self) -> bool:
        """Whether `wait` would return at once."""

    def cancel(self) -> bool:
        """Keep workers from beginning the request; False if one has begun it or if nobody could say."""


class Transport(Protocol):
    """The way to one service."""

    def send(
        self,
        request: bytes,
        request_id: str,
        options: Options,
        *,
        repeatable: bool = False,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Hand the request to the broker within the time-out; raises BrokerUnavailable.

        ``request_id`` is the id of the message.  ``repeatable``: the request only reads, or is done once however often
        it comes, so that one that may have been sent can be sent again.
        ``token``: what says who made the request; it goes beside it, as ``headers`` do.
        """


class Answered:
    """A reply that is here already."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def wait(self, timeout: float | None) -> bytes:
        return self._answer

    def ready(self) -> bool:
        return True

    def cancel(self) -> bool:
        return False


class EagerTransport:
    """Evaluates in this process and thread, still through the bytes of the wire (``task_always_eager``)."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._task: Any = None

    def send(
        self,
        request: bytes,
        request_id: str,
        options: Options,
        *,
        repeatable: bool = False,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        if self._task is None:
            self._task = symbol_by_name(_WORKER_APP).tasks[TASK_NAME]
        keywords = task_keywords(None, token)
        result = self._task.apply(
            args=(request.decode(),), kwargs=keywords, task_id=request_id, throw=True, headers=headers
        )
        return Answered(result.result.encode())


#: Alias -> the transport that stands in the place of what its settings say.
_placed: dict[str, Transport] = {}


@contextlib.contextmanager
def put_in_place(alias: str, transport: Transport) -> Iterator[None]:
    """Within the block, messages of ``alias`` go to ``transport``, whatever its settings say: for tests.

    In all threads.  A transport that evaluates in the thread that sends has an attribute ``runs_here = True``, and one
    to which nobody has to prove anything ``signed = False``.
    """
    before = _placed.get(alias)
    _placed[alias] = transport
    try:
        yield
    finally:
        if before is None:
            del _placed[alias]
        else:
            _placed[alias] = before


def placed(alias: str) -> Transport | None:
    """The transport that `put_in_place` put there."""
    return _placed.get(alias)


class _Transports:
    """One transport for each service's settings in this process."""

    def __init__(self) -> None:
        self._made: dict[Config, Transport] = {}
        self._lock = threading.Lock()
        forget_after_fork(self)

    def get(self, config: Config) -> Transport:
        found = self._made.get(config)
        if found is None:
            with self._lock:
                found = self._made.get(config)
                if found is None:
                    found = self._made[config] = _make(config)
        return found

    def after_fork(self) -> dict[Config, Transport]:
        old, self._made = self._made, {}
        self._lock = threading.Lock()  # another thread of the parent may have held it
        return old


_transports = _Transports()


def transport_for(config: Config) -> Transport:
    """The transport of these settings; the same one for equal settings, a new one after a fork.

    Raises ImproperSettings where the settings name no broker.
    """
    if config.alias in _placed:
        return _placed[config.alias]
    return _transports.get(config)


def _make(config: Config) -> Transport:
    if config.eager:
        return EagerTransport(config)
    if not config.broker_url:
        raise ImproperSettings(
            f"DATABASES['{config.alias}'] has no BROKER_URL: name the broker that the service's worker listens to, "
            "such as 'redis://localhost/', or set CELERY = {'task_always_eager': True} to evaluate in this process."
        )
    if not config.result_backend:
        raise ImproperSettings(
            f"DATABASES['{config.alias}'] has no RESULT_BACKEND: name what brings answers back, such as "
            "'redis://localhost/', or 'rpc://' on RabbitMQ."
        )
    # Only a process that calls a service needs these, and what they import.
    if config.replies_by_redis:
        from django_rpc.client.redis_reply import RedisReplyTransport

        return RedisReplyTransport(config)
    if config.result_backend.startswith("rpc"):
        from django_rpc.client.rpc_reply import RpcReplyTransport

        return RpcReplyTransport(config)
    from django_rpc.client.result_backend import ResultBackendTransport

    return ResultBackendTransport(config)
