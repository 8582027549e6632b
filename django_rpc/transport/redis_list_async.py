"""Answers on Redis lists for asyncio: one connection for each event loop and server serves all awaited requests.

The connection blocks in ``BLPOP`` on the lists of all awaited requests. To add a list while it blocks, the event loop
pushes to its wake-up list, which is among those keys. So the command ends, and is sent again with all keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
import weakref
from typing import Any

import redis.asyncio

from django_rpc.wire.names import redis_url, reply_key

__all__ = ["BROKEN", "Inbox", "inbox"]

#: Longest single BLPOP. Its empty answer proves that the server lives.
_CHUNK = 30.0
#: Redis ends a BLPOP by itself. The client waits this much longer before it gives up the connection.
_GRACE = 2.0
#: Pause between attempts to reach a server that refuses connections.
_PAUSE = 0.1
_CONNECT_SECONDS = 5.0
#: Seconds that Redis keeps an answer with no waiter, for a later wait.
_KEPT_SECONDS = 300

#: Errors of a lost connection, and errors that Redis replies with, such as after a failover.
BROKEN = (redis.ConnectionError, redis.TimeoutError, redis.ResponseError, OSError, TimeoutError)


class Inbox:
    """Awaited answers of one event loop on one Redis server."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._waiting: dict[str, asyncio.Future[bytes]] = {}
        self._bell = reply_key(f"bell:{uuid.uuid4().hex}")
        self._polled: set[str] = set()  # the keys of the current BLPOP
        self._ringing = False
        self._begun = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._lost: tuple[float, Exception] | None = None

    async def take(self, key: str, timeout: float | None) -> bytes | None:
        """Remove and return the first item of the list ``key``; return None after ``timeout`` seconds without one."""
        answer = self._waiting[key] = asyncio.get_running_loop().create_future()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._serve(), name="rpc-inbox")
        self._begun.set()
        if self._polled and key not in self._polled and not self._ringing:
            self._ringing = True
            self._ring = asyncio.create_task(self._ring_bell())
        try:
            return await asyncio.wait_for(answer, timeout)
        except TimeoutError:
            return None
        finally:
            self._waiting.pop(key, None)

    def lost_since(self, moment: float) -> Exception | None:
        """Return the error of the last lost connection after ``moment`` (time.monotonic), or None."""
        return self._lost[1] if self._lost is not None and self._lost[0] >= moment else None

    async def _serve(self) -> None:
        client = self._client()
        try:
            while True:
                if not self._waiting:
                    self._begun.clear()
                    await self._begun.wait()
                try:
                    await self._poll(client)
                except BROKEN as error:
                    self._lost = (time.monotonic(), error)
                    await client.connection_pool.disconnect()
                    await asyncio.sleep(_PAUSE)
                finally:
                    self._polled = set()
        finally:
            await client.aclose()

    async def _poll(self, client: Any) -> None:
        self._polled = set(self._waiting)
        key_and_item = await asyncio.wait_for(client.blpop([*self._polled, self._bell], _CHUNK), _CHUNK + _GRACE)
        if key_and_item is None:
            return
        key = key_and_item[0].decode()
        if key == self._bell:
            self._ringing = False
        else:
            await self._deliver(client, key, key_and_item[1])

    async def _deliver(self, client: Any, key: str, answer: bytes) -> None:
        waiting = self._waiting.pop(key, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
            return
        # Its waiter has given up. The answer returns to the list for a later wait.
        await client.lpush(key, answer)
        await client.expire(key, _KEPT_SECONDS)

    async def _ring_bell(self) -> None:
        client = self._client()
        with contextlib.suppress(*BROKEN):  # then the other connection breaks too, and blocks on all keys again
            async with client.pipeline(transaction=False) as pipe:
                await pipe.rpush(self._bell, b"1").expire(self._bell, 60).execute()
        await client.aclose()

    def _client(self) -> Any:
        return redis.asyncio.Redis.from_url(
            redis_url(self._url), socket_connect_timeout=_CONNECT_SECONDS, health_check_interval=0
        )


_inboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Inbox]] = weakref.WeakKeyDictionary()


def inbox(url: str) -> Inbox:
    """Return the inbox of the running event loop on the server at ``url``."""
    loop = asyncio.get_running_loop()
    if loop not in _inboxes:
        # An inbox refers to its loop, so the weak key alone would keep both for ever: 33 kB for each `asyncio.run`.
        for closed_loop in [known_loop for known_loop in list(_inboxes) if known_loop.is_closed()]:
            _inboxes.pop(closed_loop, None)
    inboxes = _inboxes.setdefault(loop, {})
    if url not in inboxes:
        inboxes[url] = Inbox(url)
    return inboxes[url]
