"""The worker's side of the result backend in Redis, with separate connections.

Answers are pushed to the reply list of their request. Values for another message are stored in the hash of that message
(`wire.names.given_key`), which also contains the waiting message. The worker that adds the last values removes the
message from the hash and publishes it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from django_rpc.errors import HandOverFailed
from django_rpc.transport.redis_connections import BROKEN, RedisConnections
from django_rpc.wire.names import DEPOSIT, ORIGINS, given_key

__all__ = ["EXPIRE_SECONDS", "ReplyLists"]

#: How long an answer is kept for the client.
EXPIRE_SECONDS = 600
#: Pauses before the attempts to push an answer: a result backend that restarts is unavailable for a moment.
_PAUSES = (0.0, 0.0, 0.1, 0.3, 0.6, 1.0)
_SOCKET_SECONDS = 5.0


def _read_origins(text: bytes) -> set[str]:
    try:
        return set(msgspec.json.decode(text, type=list[str]))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise HandOverFailed(f"The requests that a message waits for cannot be read: {type(error).__name__}") from None


def _is_within(members: Sequence[bytes], most: tuple[int, int]) -> bool:
    return len(members) <= most[0] and sum(int(member.split(b" ", 2)[1]) for member in members) <= most[1]


class ReplyLists:
    """The reply lists in one Redis; usable in any thread, and after a fork."""

    def __init__(self, url: str) -> None:
        self._connections = RedisConnections(url)

    def push(self, key: str, answer: bytes) -> None:
        """Push ``answer`` to the list ``key``, in one round trip; raise redis.ConnectionError after several attempts.

        An attempt with an unknown outcome is repeated. Then the client takes the first answer, and the second expires.
        """
        self._run(("RPUSH", key, answer), ("EXPIRE", key, EXPIRE_SECONDS))

    def put(self, message_id: str, origin: str, values: bytes, seconds: int) -> bytes | None:
        """Store the values of ``origin`` for a message that waits for this request.

        Return the message if these values were the last; only one caller receives it. A repeated call has no effect,
        and the first values stay. Raise HandOverFailed for a message that does not wait for that request, and remove
        its values.
        """
        key = given_key(message_id)
        added, _, origins, names = self._run(
            ("HSETNX", key, origin, values), ("EXPIRE", key, seconds), ("HGET", key, ORIGINS), ("HKEYS", key)
        )
        if origins is None:  # the message has not arrived, or has been published
            return None
        awaited = _read_origins(origins)
        if origin not in awaited:
            if added:
                self._run(("HDEL", key, origin))
            raise HandOverFailed(f"The message {message_id} does not wait for the values of request {origin}.")
        if not awaited.issubset(name.decode("ascii", "replace") for name in names):
            return None
        deposit, taken, _ = self._run(("HGET", key, DEPOSIT), ("HDEL", key, DEPOSIT), ("HDEL", key, ORIGINS))
        return deposit if taken else None

    def given(self, message_id: str, origins: Sequence[str]) -> dict[str, bytes]:
        """Return the values for a message, by request; values of other requests are not read."""
        (values,) = self._run(("HMGET", given_key(message_id), *origins))
        return {origin: value for origin, value in zip(origins, values, strict=True) if value is not None}

    def reserve(self, parked: str, sizes: Mapping[str, int], seconds: int, most: tuple[int, int]) -> None:
        """Register values of ``sizes`` bytes in the sorted set ``parked``, by the messages that they are parked for.

        Raise HandOverFailed if the waiting values exceed ``most``: a number of values, and a number of bytes.
        """
        now = time.time()
        entries = [(now + seconds, f"{uuid.uuid4().hex} {size} {message_id}") for message_id, size in sizes.items()]
        *_, members = self._run(
            ("ZREMRANGEBYSCORE", parked, 0, now),
            ("ZADD", parked, *[part for entry in entries for part in entry]),
            ("EXPIRE", parked, seconds),
            ("ZRANGE", parked, 0, -1),
        )
        if _is_within(members, most):
            return
        there = self._run(*[("EXISTS", given_key(member.decode().split(" ", 2)[2])) for member in members])
        new = {name.encode() for _, name in entries}
        gone = [member for member, exists in zip(members, there, strict=True) if not exists and member not in new]
        if gone:
            self._run(("ZREM", parked, *gone))
        if not _is_within([member for member in members if member not in set(gone)], most):
            self._run(("ZREM", parked, *new))
            raise HandOverFailed(
                f"More values than {most[0]:,}, or {most[1]:,} bytes of them, wait for other services (limits "
                "'parked_messages' and 'parked_bytes')."
            )

    def forget(self, message_id: str) -> None:
        """Delete the values of a message after their use."""
        self._run(("DEL", given_key(message_id)))

    def _run(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Send commands together and return their replies; repeat them after a broken connection."""
        for attempt, pause in enumerate(_PAUSES):
            time.sleep(pause)
            try:
                return self._connections.run(_SOCKET_SECONDS, *commands)
            except BROKEN:
                if attempt == len(_PAUSES) - 1:
                    raise
                self._connections.drop_idle()
        raise AssertionError("unreachable: the last attempt returns or raises")
