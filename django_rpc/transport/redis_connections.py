"""Connections to a Redis server of answers, in connection pools of redis-py; both ends use them."""

from __future__ import annotations

import time
from typing import Any

import redis

from django_rpc.transport.compat import import_late_modules, pool_connection
from django_rpc.transport.fork_safety import NO_FORK, forget_after_fork
from django_rpc.wire.names import redis_url

__all__ = ["BROKEN", "RedisConnections"]

#: Errors of a broken connection, of a server that refuses connections, and of a server that has become a replica.
BROKEN = (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError, redis.ReadOnlyError, OSError)

#: Socket timeouts in seconds, except for the wait for a reply. A call uses the longest that its patience allows. Each
#: has a pool, since redis-py sets the timeout of a connection when it creates the connection.
_SOCKET_SECONDS = (5.0, 1.0)
#: The limit of redis-py is 100 connections by default, and each waiting thread needs a connection.
_MAX_CONNECTIONS = 2**31


class RedisConnections:
    """Executor of commands on the Redis server at ``url``; usable in any thread, and after a fork."""

    def __init__(self, url: str) -> None:
        self._url = redis_url(url)
        self._pools: dict[float, redis.ConnectionPool] = {}
        #: The last time (``time.monotonic()``) that the server replied; None before the first reply.
        self.replied_at: float | None = None
        forget_after_fork(self)

    def after_fork(self) -> Any:
        old, self._pools = self._pools, {}
        self.replied_at = None
        return old

    def run(self, patience: float, *commands: tuple[Any, ...]) -> list[Any]:
        """Send the commands together, and return their replies.

        ``patience`` is the longest wait for the first reply, in seconds. Raise an error of `BROKEN`, and close the
        connection in this case.
        """
        pool = self._pool(patience)
        connection = pool_connection(pool)
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            if not connection.can_read(timeout=patience):
                raise redis.TimeoutError(f"no reply to {commands[0][0]} within {patience:.1f} s")
            replies = [connection.read_response() for _ in commands]
        except BaseException as error:
            # After an error that Redis replies with, the connection is usable if no other reply follows.
            if not isinstance(error, redis.ResponseError) or len(commands) > 1:
                connection.disconnect()
            raise
        finally:
            pool.release(connection)
        self.replied_at = time.monotonic()
        return replies

    def reach(self, patience: float) -> None:
        """Open a connection and select its database; raise an error of `BROKEN`, or a ResponseError."""
        pool = self._pool(patience)
        pool.release(pool_connection(pool))
        self.replied_at = time.monotonic()

    def drop_idle(self) -> None:
        """Close the idle connections. After one connection breaks, the others are likely to be broken too."""
        for pool in list(self._pools.values()):
            pool.disconnect(inuse_connections=False)

    def _pool(self, patience: float) -> redis.ConnectionPool:
        seconds = next((step for step in _SOCKET_SECONDS if step <= patience), _SOCKET_SECONDS[-1])
        pool = self._pools.get(seconds)
        if pool is None:
            with NO_FORK:
                new_pool = redis.ConnectionPool.from_url(
                    self._url,
                    max_connections=_MAX_CONNECTIONS,
                    socket_timeout=seconds,
                    socket_connect_timeout=seconds,
                    health_check_interval=0,
                )
                import_late_modules(new_pool)
            pool = self._pools.setdefault(seconds, new_pool)
        return pool
