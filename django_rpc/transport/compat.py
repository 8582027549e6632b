"""Private names and workarounds of kombu and redis-py at the client, and in the parts that both ends use.

The other modules of this folder use such names only through this module. Each workaround states the upstream behavior
and the releases with it; no upstream issue is known. tests/transport/test_compat.py has a contract test for each.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - socket imports it late, in a connection, where NO_FORK is not held
import threading
from typing import Any

from kombu import Connection
from kombu.utils.objects import cached_property

from django_rpc.transport.fork_safety import forget_after_fork

__all__ = ["import_late_modules", "keep_client", "pool_connection", "property_locks", "redis_of", "socket_of"]


class _PropertyLocks:
    """Locks of kombu's cached properties, which are replaced in a child process.

    A class of kombu 5.3 to 5.7 has one lock for each cached property. A thread holds it while it computes the value,
    which for a channel of Redis includes network operations. A child that is forked at this moment could never compute
    the property.
    """

    def __init__(self) -> None:
        self._classes: set[type] = set()
        forget_after_fork(self)

    def add(self, *classes: type) -> None:
        """Replace the locks of ``classes`` in each child process."""
        self._classes.update(classes)

    def after_fork(self) -> None:
        for base in {base for used in self._classes for base in used.__mro__}:
            for attribute in vars(base).values():
                if isinstance(attribute, cached_property):
                    attribute.lock = threading.RLock()


property_locks = _PropertyLocks()


def socket_of(connection: Connection) -> Any:
    """Return the socket of an open connection to an AMQP broker, or None; kombu has no method to check it."""
    return getattr(connection.connection, "sock", None)


def keep_client(channel: Any) -> None:
    """Let a Redis channel of kombu use one client object.

    kombu 5.4 to 5.7 makes a new client for each message (80 us of 470). The client holds no connection: connections are
    in the pool of the channel.
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


def pool_connection(pool: Any) -> Any:
    """Return a connection of a pool of redis-py. It is open.

    Before 5.3, redis-py requires the name of a command here, and does not use it. Later releases warn of a name.
    """
    import redis

    return pool.get_connection(*(("",) if redis.VERSION < (5, 3) else ()))


def import_late_modules(pool: Any) -> None:
    """Import the modules that redis-py (5.0 to 8.1) imports for its first connection; it is not opened."""
    pool.connection_class(**pool.connection_kwargs)
