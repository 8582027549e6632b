"""Broker connections that are ready to publish."""

from __future__ import annotations

import encodings.idna  # noqa: F401 - a connection imports it late, where NO_FORK is not held
import select
import threading
from typing import Any

from celery import Celery
from kombu import Connection, Producer
from kombu.exceptions import OperationalError
from kombu.utils.objects import cached_property

from django_rpc.transport.fork_safety import NO_FORK, forget_after_fork

__all__ = [
    "AMQP_BROKERS",
    "REDIS_BROKERS",
    "Line",
    "failures_of",
    "keep_client",
    "open_connection",
    "reach",
    "redis_of",
]

#: Names of kombu's transports, as in the URL of a broker.
AMQP_BROKERS = ("amqp", "amqps", "pyamqp")
REDIS_BROKERS = ("redis", "rediss", "sentinel")


class Line:
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
        sock = getattr(self.connection.connection, "sock", None) if self.declared else None
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


class _PropertyLocks:
    """Locks of kombu's cached properties, which are replaced in a child process.

    A class has one lock for each cached property. A thread holds it while it computes the value, which for a channel of
    Redis includes network operations. A child that is forked at this moment could never compute the property.
    """

    def __init__(self) -> None:
        self.classes: set[type] = set()
        forget_after_fork(self)

    def after_fork(self) -> None:
        for base in {base for used in self.classes for base in used.__mro__}:
            for attribute in vars(base).values():
                if isinstance(attribute, cached_property):
                    attribute.lock = threading.RLock()


_property_locks = _PropertyLocks()


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
    _property_locks.classes.update(map(type, (app, app.amqp, connection, transport)), [channel] if channel else [])
    return connection


def reach(connection: Connection, seconds: float) -> None:
    """Connect, trying each of the broker's hosts once; without this, kombu pauses for 2 s between attempts."""
    hosts = max(len(connection.alt), 1)
    connection.ensure_connection(max_retries=hosts - 1, interval_start=0, interval_step=0, timeout=seconds)


def failures_of(connection: Connection) -> tuple[type[BaseException], ...]:
    """Return the exceptions of broken connections, and of brokers that refuse a connection."""
    return (*connection.connection_errors, *connection.channel_errors, OperationalError, OSError)


def keep_client(channel: Any) -> None:
    """Let a Redis channel of kombu use one client object; kombu makes a new client for each message (80 us of 470).

    The client holds no connection: connections are in the pool of the channel.
    """
    make, pool = getattr(channel, "Client", None), getattr(channel, "pool", None)
    if make is None or pool is None:
        return
    client = make(connection_pool=pool)
    channel.Client = lambda connection_pool: (
        client if connection_pool is pool else make(connection_pool=connection_pool)
    )


def redis_of(connection: Connection) -> tuple[Any, str] | None:
    """Return a client of the Redis broker, and the prefix of its keys; None for another broker.

    kombu's client adds the prefix to the keys of some commands only.
    """
    channel = connection.default_channel
    pool = getattr(channel, "pool", None)
    if pool is None or not hasattr(channel, "unacked_key"):
        return None
    import redis  # only where kombu has imported it

    return redis.Redis(connection_pool=pool), getattr(channel, "global_keyprefix", "")
