"""Choice of the transport for the settings of a service, and replacement of transports in tests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from kombu.utils.imports import symbol_by_name

from django_rpc.errors import ImproperSettings
from django_rpc.transport.base import Transport
from django_rpc.transport.config import Config
from django_rpc.transport.fork_safety import NO_FORK, forget_after_fork
from django_rpc.transport.in_process import InProcessTransport

__all__ = ["placed", "put_in_place", "transport_for"]

#: Alias -> transport that replaces the transport of its settings.
_placed: dict[str, Transport] = {}


@contextlib.contextmanager
def put_in_place(alias: str, transport: Transport) -> Iterator[None]:
    """Send messages of ``alias`` to ``transport`` within the block, and ignore its settings. For tests.

    This applies to all threads.
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
        return InProcessTransport(config)
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
    if config.replies_by_redis:
        path = "django_rpc.transport.redis_list:RedisReplyTransport"
    elif config.result_backend.startswith("rpc"):
        path = "django_rpc.transport.amqp_reply:RpcReplyTransport"
    else:
        path = "django_rpc.transport.result_backend:ResultBackendTransport"
    made: Transport = symbol_by_name(path)(config)  # imported here, since only its result backend needs the imports
    return made
