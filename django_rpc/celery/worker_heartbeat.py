"""Keys in Redis that exist while a worker consumes a queue, so that clients of a queue without a worker fail early.

A worker keeps a key for each of its queues at the broker. It keeps another key in the Redis of its result backend,
where it writes the answers of its queue. A thread of the main process refreshes the keys, however busy the pool is.
RabbitMQ counts consumers itself, and needs no key.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from celery import Celery, signals
from kombu import Connection

from django_rpc.transport.compat import redis_of
from django_rpc.transport.connections import REDIS_BROKERS, open_connection, reach
from django_rpc.wire.names import answers_key, is_redis, without_passwords, worker_key

if TYPE_CHECKING:
    from django_rpc.transport.redis_connections import RedisConnections

__all__ = ["Announcer", "announce"]

logger = logging.getLogger("django_rpc.server")

#: Seconds between two refreshes of the keys.
_REFRESH_SECONDS = 0.5
#: Lifetime of a key after its last refresh. Tasks of a prefork pool run in other processes and cannot delay the thread.
#: In all other pools, tasks and the thread share an interpreter, and code that does not yield may delay the thread.
_PREFORK_MILLISECONDS = 3_000
_SHARED_MILLISECONDS = 30_000
#: Maximum wait for one operation on a socket.
_SOCKET_SECONDS = 2.0


def _redis_connections(url: str) -> RedisConnections:
    from django_rpc.transport.redis_connections import RedisConnections  # needs redis-py, which other backends do not

    return RedisConnections(url)


class Announcer:
    """Thread of a worker that refreshes its keys. ``backend`` is the URL of the result backend of the worker."""

    def __init__(self, app: Celery, backend: str, milliseconds: int) -> None:
        self._app = app
        self._milliseconds = milliseconds
        self._answers = _redis_connections(backend) if is_redis(backend) else None
        self._backend = without_passwords(backend)
        self._connection: Connection | None = None
        self._stopped = threading.Event()
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="django_rpc-presence", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let the keys expire soon. Other workers of the queues set a longer time with their next refresh."""
        self._stopped.set()
        self._thread.join(_SOCKET_SECONDS)
        self._milliseconds = _PREFORK_MILLISECONDS
        self._refresh()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._refresh()
            self._stopped.wait(_REFRESH_SECONDS)

    def _refresh(self) -> None:
        queues = list(self._app.amqp.queues.consume_from)
        try:
            self._refresh_answers(queues)
            self._refresh_broker(queues)
        except Exception:  # noqa: BLE001 - the worker serves without the keys; Redis may be away for a moment
            log = logger.debug if self._failed else logger.warning
            log("Clients cannot see that this worker consumes %s.", ", ".join(queues), exc_info=True)
            self._failed = True
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.collect(socket_timeout=0.1)
        else:
            self._failed = False

    def _refresh_answers(self, queues: list[str]) -> None:
        if self._answers is not None and queues:
            commands = [("SET", answers_key(queue), b"1", "PX", self._milliseconds) for queue in queues]
            self._answers.run(_SOCKET_SECONDS, *commands)

    def _refresh_broker(self, queues: list[str]) -> None:
        if self._connection is None:
            connection = open_connection(self._app, _SOCKET_SECONDS)
            if connection.transport_cls not in REDIS_BROKERS:
                return
            reach(connection, _SOCKET_SECONDS)
            self._connection = connection
        client_and_prefix = redis_of(self._connection)
        if client_and_prefix is None:
            return
        client, prefix = client_and_prefix
        for queue in queues:
            client.set(prefix + worker_key(queue), self._backend, px=self._milliseconds)


def announce(app: Celery, backend: str | None) -> None:
    """Let each worker of ``app`` in this process keep its keys while it is ready.

    ``backend`` is the URL of the result backend; None means the result backend of the app's settings.
    """
    announcers: list[Announcer] = []

    def start(sender: Any = None, **_: Any) -> None:
        if sender is None or sender.app is not app or announcers:
            return
        is_prefork = type(sender.pool).__module__ == "celery.concurrency.prefork"
        milliseconds = _PREFORK_MILLISECONDS if is_prefork else _SHARED_MILLISECONDS
        announcers.append(Announcer(app, backend or app.conf.result_backend or "", milliseconds))
        announcers[-1].start()

    def stop(sender: Any = None, **_: Any) -> None:
        if getattr(sender, "app", None) is app and announcers:
            announcers.pop().stop()

    signals.worker_ready.connect(start, weak=False, dispatch_uid=f"django_rpc.presence.start.{id(app)}")
    signals.worker_shutdown.connect(stop, weak=False, dispatch_uid=f"django_rpc.presence.stop.{id(app)}")
