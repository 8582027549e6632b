"""Transport of the bytes of requests and answers: the protocol of transports, and the in-process transport."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from kombu.utils.imports import symbol_by_name

from django_rpc.errors import ImproperSettings
from django_rpc.transport.config import Config
from django_rpc.transport.fork_safety import NO_FORK, forget_after_fork
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

#: Dotted name of the server's Celery application; client/ does not import it.
_WORKER_APP = "django_rpc.celery.app:app"


@dataclass(frozen=True, slots=True)
class Options:
    """Options of one call: ``timeout`` in seconds (None: no limit), and if it uses the priority queue."""

    timeout: float | None = None
    priority: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """Ids of the requests that a message waits for, because their services forward values to it.

    ``failures`` maps reply lists to functions that make an error. They are the lists of these requests, and of requests
    that these wait for, where only a failure arrives.
    """

    origins: tuple[str, ...]
    failures: Mapping[str, Callable[[bytes], Exception]]


class Reply(Protocol):
    """Protocol of the reply to one request."""

    def wait(self, timeout: float | None) -> bytes:
        """Return the answer. A timeout of 0 checks once without waiting.

        Raise RpcTimeout, ResultBackendUnavailable or WorkerLost; after RpcTimeout a caller may wait again.
        """

    def ready(self) -> bool:
        """Return True if `wait` would return at once."""

    def cancel(self) -> bool:
        """Keep workers from beginning the request. Return False if a worker has begun it, or if no worker answered."""


class Transport(Protocol):
    """Protocol of the transport to one service."""

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
        """Publish the request to the broker within the timeout; raise BrokerUnavailable.

        ``request_id`` is the id of the message. ``repeatable`` is True for a request that only reads, or that is
        executed once even if it arrives twice: it can be sent again after an unclear failure. ``token`` proves the
        author of the request. It is sent next to the request, as are ``headers``.
        """


class Answered:
    """Reply that has arrived already."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def wait(self, timeout: float | None) -> bytes:
        return self._answer

    def ready(self) -> bool:
        return True

    def cancel(self) -> bool:
        return False


class EagerTransport:
    """Transport that evaluates in this process and thread, through the same bytes (``task_always_eager``)."""

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


#: Alias -> transport that replaces the transport of its settings.
_placed: dict[str, Transport] = {}


@contextlib.contextmanager
def put_in_place(alias: str, transport: Transport) -> Iterator[None]:
    """Send messages of ``alias`` to ``transport`` within the block, and ignore its settings. For tests.

    This applies to all threads. A transport that evaluates in the sending thread has an attribute ``runs_here = True``.
    A transport without signatures has ``signed = False``.
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
    """Return the transport that `put_in_place` set, or None."""
    return _placed.get(alias)


class _Transports:
    """Transports of this process, by the settings of their services."""

    def __init__(self) -> None:
        self._made: dict[Config, Transport] = {}
        forget_after_fork(self)

    def get(self, config: Config) -> Transport:
        transport = self._made.get(config)
        if transport is None:
            with NO_FORK:
                transport = self._made.get(config)
                if transport is None:
                    transport = self._made[config] = _make(config)
        return transport

    def after_fork(self) -> dict[Config, Transport]:
        old, self._made = self._made, {}
        return old


_transports = _Transports()


def transport_for(config: Config) -> Transport:
    """Return the transport of these settings. Equal settings share one transport until a fork.

    Raise ImproperSettings where the settings name no broker.
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
            f"DATABASES['{config.alias}'] has no RESULT_BACKEND: set the backend for answers, such as "
            "'redis://localhost/', or 'rpc://' on RabbitMQ."
        )
    # Only a process that calls a service needs these modules and their imports.
    if config.replies_by_redis:
        from django_rpc.transport.redis_list import RedisReplyTransport

        return RedisReplyTransport(config)
    if config.result_backend.startswith("rpc"):
        from django_rpc.transport.amqp_reply import RpcReplyTransport

        return RpcReplyTransport(config)
    from django_rpc.transport.result_backend import ResultBackendTransport

    return ResultBackendTransport(config)
