"""The worker's side of the reply list: pushes an answer with an expiry, over a connection of its own."""

from __future__ import annotations

import time
from typing import Any

import redis

from django_rpc.client.forks import Pool
from django_rpc.wire.names import redis_url

__all__ = ["EXPIRE_SECONDS", "ReplyLists"]

#: How long an answer waits to be read.
EXPIRE_SECONDS = 600
#: Pauses before the attempts to push an answer: a result backend that restarts is away for a moment.
_PAUSES = (0.0, 0.0, 0.1, 0.3, 0.6, 1.0)
_SOCKET_SECONDS = 5.0
_BROKEN = (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError, OSError)


class ReplyLists:
    """The reply lists in one Redis; for any thread, and after a fork."""

    def __init__(self, url: str) -> None:
        factory = redis.ConnectionPool.from_url(
            redis_url(url),
            socket_timeout=_SOCKET_SECONDS,
            socket_connect_timeout=_SOCKET_SECONDS,
            health_check_interval=0,
        )
        self._connections: Pool[Any] = Pool(factory.make_connection)

    def push(self, key: str, answer: bytes) -> None:
        """Put ``answer`` on the list ``key``, in one round trip; raises redis.ConnectionError after some attempts.

        An attempt whose outcome is unknown is repeated: the client takes the first answer, the second expires.
        """
        for attempt, pause in enumerate(_PAUSES):
            time.sleep(pause)
            try:
                self._push(key, answer)
            except _BROKEN:
                if attempt == len(_PAUSES) - 1:
                    raise
                for connection in self._connections.drain():  # as old as the one that broke
                    connection.disconnect()
            else:
                return

    def _push(self, key: str, answer: bytes) -> None:
        connection = self._connections.take()
        try:
            commands = [("RPUSH", key, answer), ("EXPIRE", key, EXPIRE_SECONDS)]
            connection.send_packed_command(connection.pack_commands(commands))
            for _ in commands:
                connection.read_response()
        except BaseException:
            connection.disconnect()
            raise
        self._connections.give(connection)
