"""Workers of a queue, as the broker knows them, so that a call to a queue without any fails early.

Nothing is checked while answers arrive in time. A call without an answer after about a second looks at the broker:
RabbitMQ counts the consumers of a queue, and on Redis each worker of this package keeps a key alive
(`django_rpc.celery.worker_heartbeat`). Both include workers that are busy. Other brokers cannot report their
consumers, and there a call waits for its timeout.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from django_rpc.errors import NoWorker, ResultBackendUnavailable, RpcError
from django_rpc.transport.base import Options
from django_rpc.transport.compat import redis_of
from django_rpc.transport.config import Config
from django_rpc.transport.connections import AMQP_BROKERS, REDIS_BROKERS, BrokerConnection, open_connection
from django_rpc.transport.publish import Publisher
from django_rpc.transport.threads import WAITING
from django_rpc.wire.names import without_passwords, worker_key

__all__ = ["Presences", "WorkerCheck"]

logger = logging.getLogger("django_rpc.client")

#: Seconds without an answer after which a call looks for a worker.
_LATE = 0.9
#: The same where the last look found no worker.
_SOON = 0.05
#: Seconds between looks while there is no worker, and while there is a worker.
_AGAIN = 0.3
_CALM = 2.0
#: A call fails when no worker was there at all looks for WORKER_GRACE without these seconds, which include `_LATE`.
_MARGIN = 1.2
#: The shortest such time: a worker refreshes its key more often.
_LEAST = 0.8
#: As `_LEAST`, for the key of a worker at the result backend, which may have been restarted without its keys.
_LEAST_ANSWERS = 1.5
#: A look serves all calls that want one within these seconds.
_FRESH = 0.2
#: The result of a look is out of date after these seconds without another.
_STALE = 5.0
#: Longest wait for one operation on a socket of the broker.
_SOCKET_SECONDS = 1.0


class _Absence:
    """Duration of an absence, for all threads that check it."""

    def __init__(self, check: Callable[[], bool | None]) -> None:
        self._check = check
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._since: float | None = None

    def look(self) -> float:
        """Return the seconds of absence so far; 0 for a presence, and where the check has no result."""
        with self._lock:
            now = time.monotonic()
            if now - self._looked_at > _STALE:
                self._since = None
            if now - self._looked_at > _FRESH:
                is_there = self._check()
                now = self._looked_at = time.monotonic()
                if is_there is not False:
                    self._since = None
                elif self._since is None:
                    self._since = now
            return 0.0 if self._since is None else max(now - self._since, 1e-6)

    @property
    def is_known(self) -> bool:
        """Return True where a recent check reported an absence."""
        return self._since is not None and time.monotonic() - self._looked_at <= _STALE


class _Presence:
    """Workers of one queue. ``check_answers`` reports if a worker writes to the client's result backend."""

    def __init__(self, publisher: Publisher, queue: str, check_answers: Callable[[str], bool | None]) -> None:
        self.config: Config = publisher.config
        self.queue = queue
        self._publisher = publisher
        self._broker: BrokerConnection | None = None
        self.is_looking = False  # for an awaited call; the others are postponed, so that one thread is enough
        self.worker = _Absence(self._has_worker)
        self.answers = _Absence(lambda: check_answers(queue))
        #: The result backend of the worker, without its password, where the broker has it.
        self.workers_backend = ""

    def _has_worker(self) -> bool | None:
        """Return True if the queue has a worker; None where the broker does not answer, or has no such data."""
        broker, self._broker = self._broker, None
        for attempt in (broker, None) if broker is not None else (None,):  # a connection may have broken while idle
            used = attempt or BrokerConnection(open_connection(self._publisher.app, _SOCKET_SECONDS), _SOCKET_SECONDS)
            try:
                has_worker = self._query(used)
            except Exception:  # each broker has its errors; the call itself reports a lost broker
                logger.debug("The broker did not report the workers of %s.", self.queue, exc_info=True)
                used.hang_up()
            else:
                self._broker = used
                return has_worker
        return None

    def _query(self, broker: BrokerConnection) -> bool | None:
        broker.open(self._publisher.app.amqp.queues[self.queue])
        transport = broker.connection.transport_cls
        if transport in AMQP_BROKERS:
            declared = broker.connection.default_channel.queue_declare(self.queue, passive=True)
            # A worker that shuts down consumes nothing, and still executes the messages that it has taken.
            return declared.consumer_count > 0 or not declared.message_count
        client_and_prefix = redis_of(broker.connection) if transport in REDIS_BROKERS else None
        if client_and_prefix is None:
            return None
        client, prefix = client_and_prefix
        value = client.get(prefix + worker_key(self.queue))
        if value is not None:
            self.workers_backend = value.decode("utf-8", "replace")
        return value is not None


class Presences:
    """Presences of the queues of one service."""

    def __init__(self, publisher: Publisher, check_answers: Callable[[str], bool | None] = lambda queue: None) -> None:
        self._publisher = publisher
        self._check_answers = check_answers
        self._by_queue: dict[str, _Presence] = {}

    def begin_check(self, request_id: str, options: Options) -> WorkerCheck:
        """Return a watch for a request that begins to wait for its answer."""
        queue = self._publisher.config.queue(priority=options.priority)
        presence = self._by_queue.get(queue)
        if presence is None:
            presence = self._by_queue.setdefault(queue, _Presence(self._publisher, queue, self._check_answers))
        return WorkerCheck(presence, request_id)


class WorkerCheck:
    """Schedule of a waiting call: the times when it checks for a worker of its queue."""

    def __init__(self, presence: _Presence, request_id: str) -> None:
        self._presence = presence
        self._request_id = request_id
        self._grace = presence.config.worker_grace
        self._next = float("inf")
        if self._grace is not None:
            self._next = time.monotonic() + (_SOON if presence.worker.is_known else _LATE)

    def seconds(self) -> float:
        """Return how many seconds are left until the next look; infinite without a next look."""
        return max(self._next - time.monotonic(), 0.0)

    def look(self) -> None:
        """Check for a worker if it is time; raise NoWorker or ResultBackendUnavailable."""
        if self._grace is None or time.monotonic() < self._next:
            return
        without_worker = self._presence.worker.look()
        if without_worker:
            self._next = time.monotonic() + _AGAIN
            if without_worker >= max(self._grace - _MARGIN, _LEAST):
                raise self._error(NoWorker, self._no_worker())
            return
        without_answers = self._presence.answers.look()
        self._next = time.monotonic() + (_AGAIN if without_answers else _CALM)
        if without_answers >= max(self._grace - _MARGIN, _LEAST_ANSWERS):
            raise self._error(ResultBackendUnavailable, self._wrong_result_backend())

    async def look_async(self) -> None:
        """`look`, without blocking the event loop; postponed while another call of the queue looks."""
        if self._presence.is_looking:
            self._next = time.monotonic() + _FRESH / 2
            return
        self._presence.is_looking = True
        try:
            await WAITING.run(self.look)
        finally:
            self._presence.is_looking = False

    def _error(self, kind: type[RpcError], text: str) -> RpcError:
        error = kind(text)
        error.request_id = self._request_id
        return error

    def _no_worker(self) -> str:
        config, queue = self._presence.config, self._presence.queue
        return (
            f'No worker consumes the queue "{queue}" of {config.alias!r} at {without_passwords(config.broker_url)}. '
            f"Start one (`celery -A django_rpc.celery.app worker -Q {queue}`), or correct BROKER_URL or the name of "
            f"the queue. Request {self._request_id} stays in the queue until its timeout, and a worker that starts "
            "before then executes it. To wait longer for a worker, set WORKER_GRACE."
        )

    def _wrong_result_backend(self) -> str:
        config, queue = self._presence.config, self._presence.queue
        workers_backend = self._presence.workers_backend
        their_text = f", but to {workers_backend}" if workers_backend else ""
        return (
            f'The workers of the queue "{queue}" of {config.alias!r} do not write answers to its RESULT_BACKEND '
            f"{without_passwords(config.result_backend)}{their_text}. Set the same RESULT_BACKEND in "
            f"DATABASES[{config.alias!r}] and in the worker's DJANGO_RPC; if they are the same, the worker cannot "
            f"reach it. Request {self._request_id} was sent and may have run."
        )
