"""The worker's side of the result backend in Redis, over connections of its own.

Answers are pushed to the reply list of their request.  Values for another message go to the hash of that message
(`wire.names.given_key`), where it waits itself: whoever puts the last of them there takes it out, and publishes it.
"""

from __future__ import annotations

import time
from typing import Any

from django_rpc.client.redis_connections import BROKEN, RedisConnections
from django_rpc.wire.names import DEPOSIT, given_key

__all__ = ["EXPIRE_SECONDS", "ReplyLists"]

#: How long an answer waits to be read.
EXPIRE_SECONDS = 600
#: Pauses before the attempts to push an answer: a result backend that restarts is away for a moment.
_PAUSES = (0.0, 0.0, 0.1, 0.3, 0.6, 1.0)
_SOCKET_SECONDS = 5.0


class ReplyLists:
    """The reply lists in one Redis; for any thread, and after a fork."""

    def __init__(self, url: str) -> None:
        self._connections = RedisConnections(url)

    def push(self, key: str, answer: bytes) -> None:
        """Put ``answer`` on the list ``key``, in one round trip; raises redis.ConnectionError after some attempts.

        An attempt whose outcome is unknown is repeated: the client takes the first answer, the second expires.
        """
        self._run(("RPUSH", key, answer), ("EXPIRE", key, EXPIRE_SECONDS))

    def put(self, message_id: str, origin: str, values: bytes, waits: int, seconds: int) -> bytes | None:
        """Give a message the values of one of the ``waits`` requests that it waits for.

        Returns the message, which nobody else gets, where these were the last; it may be put again, to no effect.
        """
        key = given_key(message_id)
        _, _, count = self._run(("HSET", key, origin, values), ("EXPIRE", key, seconds), ("HLEN", key))
        if count <= waits:  # the message itself is one of the fields
            return None
        found, taken = self._run(("HGET", key, DEPOSIT), ("HDEL", key, DEPOSIT))
        return found if taken else None

    def given(self, message_id: str) -> dict[str, bytes]:
        """What was put there for a message, by the ids of the requests that it comes from."""
        (found,) = self._run(("HGETALL", given_key(message_id)))
        pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
        return {origin.decode("ascii", "replace"): values for origin, values in pairs}

    def forget(self, message_id: str) -> None:
        """What was put there is used."""
        self._run(("DEL", given_key(message_id)))

    def _run(self, *commands: tuple[Any, ...]) -> list[Any]:
        """The replies to commands that are sent together, and again where the connection breaks."""
        for attempt, pause in enumerate(_PAUSES):
            time.sleep(pause)
            try:
                return self._connections.run(_SOCKET_SECONDS, *commands)
            except BROKEN:
                if attempt == len(_PAUSES) - 1:
                    raise
                self._connections.drop_idle()
        raise AssertionError("unreachable: the last attempt returns or raises")
