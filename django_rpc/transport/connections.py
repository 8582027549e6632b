"""Broker connections that are ready to publish."""

from __future__ import annotations

import select
from typing import Any

from celery import Celery
from kombu import Connection, Producer
from kombu.exceptions import OperationalError

from django_rpc.transport.compat import keep_client, property_locks, socket_of
from django_rpc.transport.fork_safety import NO_FORK

__all__ = [
    "AMQP_BROKERS",
    "REDIS_BROKERS",
    "BrokerConnection",
    "failures_of",
    "open_connection",
    "reach",
]

#: Names of kombu's transports, as in the URL of a broker.
AMQP_BROKERS = ("amqp", "amqps", "pyamqp")
REDIS_BROKERS = ("redis", "rediss", "sentinel")


class BrokerConnection:
    """Connection to the broker, with its producer and the queues that were declared over it."""

    __slots__ = ("connection", "declared", "failures", "producer", "seconds")

    def __init__(self, connection: Connection, seconds: float) -> None:
        self.connection = connection
        self.seconds = seconds
        self.producer = Producer(connection, auto_declare=False)
        self.declared: set[str] = set()
        #: Exceptions of broken connections, and of brokers that refuse a connection.
        self.failures = failures_of(connection)

    def open(self, queue: Any) -> None:
        """Connect, and declare the queue, unless that was done.

        The broker keeps messages for a worker that starts later.
        """
        if queue.name not in self.declared:
            reach(self.connection, self.seconds)
            keep_client(self.producer.channel)
            self.producer.maybe_declare(queue)
            self.declared.add(queue.name)

    def is_alive(self) -> bool:
        """Return False where the broker closed the idle connection, so that data written to it would be lost.

        Return True for Redis: its client library checks its connections itself.
        """
        sock = socket_of(self.connection) if self.declared else None
        if sock is None or not _has_news(sock):
            return True
        try:
            while True:
                self.connection.drain_events(timeout=0)  # the broker may have sent another event
        except TimeoutError:
            return True
        except self.failures:
            return False

    def hang_up(self) -> None:
        """Close the socket without waiting for the consent of the broker, which may never arrive."""
        self.connection.collect(socket_timeout=0.1)


def _has_news(sock: Any) -> bool:
    """Return True if the socket has data to read, or was closed by the other side."""
    if not hasattr(select, "poll"):  # Windows
        return False
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def open_connection(app: Celery, seconds: float) -> Connection:
    """Return a lazy connection to the broker. Its socket waits for at most ``seconds``."""
    with NO_FORK:
        return _make_connection(app, seconds)


def _make_connection(app: Celery, seconds: float) -> Connection:
    connection: Connection = app.connection_for_write(connect_timeout=seconds)
    if connection.transport_cls in REDIS_BROKERS:
        bounds = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
    elif connection.transport_cls in AMQP_BROKERS:
        bounds = {"read_timeout": seconds, "write_timeout": seconds}
    else:
        bounds = {}
    connection.transport_options = {**(connection.transport_options or {}), **bounds}
    transport: Any = connection.transport  # imports the modules of the broker
    channel = getattr(transport, "Channel", None)  # AMQP channels have no cached properties
    property_locks.add(*map(type, (app, app.amqp, connection, transport)), *([channel] if channel else []))
    return connection


def reach(connection: Connection, seconds: float) -> None:
    """Connect, trying each of the broker's hosts once; without this, kombu pauses for 2 s between attempts."""
    hosts = max(len(connection.alt), 1)
    connection.ensure_connection(max_retries=hosts - 1, interval_start=0, interval_step=0, timeout=seconds)


def failures_of(connection: Connection) -> tuple[type[BaseException], ...]:
    """Return the exceptions of broken connections, and of brokers that refuse a connection."""
    return (*connection.connection_errors, *connection.channel_errors, OperationalError, OSError)
