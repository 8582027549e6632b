"""Answers on Redis lists for asyncio: one connection for each event loop and server, whatever the number of awaits.

It blocks on the lists of all requests that are awaited (``BLPOP`` takes many keys).  Whoever awaits another one
meanwhile pushes to a list of the loop's own, among those keys, so that it is asked again with the new key.
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

#: Longest single BLPOP: its empty answer shows that the server lives.
_CHUNK = 30.0
#: Redis ends a BLPOP by itself; this much later we stop believing that it will.
_GRACE = 2.0
#: Pause between attempts to reach a server that refuses.
_PAUSE = 0.1
_CONNECT_SECONDS = 5.0
#: How long an answer that came for nobody is kept for who asks again.
_KEPT_SECONDS = 300

#: Errors of a lost connection, and errors that Redis replies with, such as after a failover.
BROKEN = (redis.ConnectionError, redis.TimeoutError, redis.ResponseError, OSError, TimeoutError)


class Inbox:
    """The awaited answers of one event loop on one Redis server."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._waiting: dict[str, asyncio.Future[bytes]] = {}
        self._bell = reply_key(f"bell:{uuid.uuid4().hex}")
        self._asked: set[str] = set()  # the keys that the server is asked for now
        self._ringing = False
        self._begun = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._lost: tuple[float, Exception] | None = None

    async def take(self, key: str, timeout: float | None) -> bytes | None:
        """The first item of the list ``key``, which goes from it; None where none came within ``timeout`` seconds."""
        answer = self._waiting[key] = asyncio.get_running_loop().create_future()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._serve(), name="rpc-inbox")
        self._begun.set()
        if self._asked and key not in self._asked and not self._ringing:
            self._ringing = True
            self._ring = asyncio.create_task(self._ring_bell())
        try:
            return await asyncio.wait_for(answer, timeout)
        except TimeoutError:
            return None
        finally:
            self._waiting.pop(key, None)

    def lost_since(self, moment: float) -> Exception | None:
        """How the server was lost after ``moment`` (time.monotonic), if it was."""
        return self._lost[1] if self._lost is not None and self._lost[0] >= moment else None

    async def _serve(self) -> None:
        client = self._client()
        try:
            while True:
                if not self._waiting:
                    self._begun.clear()
                    await self._begun.wait()
                try:
                    await self._ask(client)
                except BROKEN as error:
                    self._lost = (time.monotonic(), error)
                    await client.connection_pool.disconnect()
                    await asyncio.sleep(_PAUSE)
                finally:
                    self._asked = set()
        finally:
            await client.aclose()

    async def _ask(self, client: Any) -> None:
        self._asked = set(self._waiting)
        found = await asyncio.wait_for(client.blpop([*self._asked, self._bell], _CHUNK), _CHUNK + _GRACE)
        if found is None:
            return
        key = found[0].decode()
        if key == self._bell:
            self._ringing = False
        else:
            await self._deliver(client, key, found[1])

    async def _deliver(self, client: Any, key: str, answer: bytes) -> None:
        waiting = self._waiting.pop(key, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
            return
        # Its waiter has given up: whoever asks again shall find it.
        await client.lpush(key, answer)
        await client.expire(key, _KEPT_SECONDS)

    async def _ring_bell(self) -> None:
        client = self._client()
        with contextlib.suppress(*BROKEN):  # then the other connection breaks as well, and asks for all keys
            async with client.pipeline(transaction=False) as pipe:
                await pipe.rpush(self._bell, b"1").expire(self._bell, 60).execute()
        await client.aclose()

    def _client(self) -> Any:
        return redis.asyncio.Redis.from_url(
            redis_url(self._url), socket_connect_timeout=_CONNECT_SECONDS, health_check_interval=0
        )


_inboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Inbox]] = weakref.WeakKeyDictionary()


def inbox(url: str) -> Inbox:
    """The inbox of the running event loop on the server at ``url``."""
    loop = asyncio.get_running_loop()
    if loop not in _inboxes:
        # An inbox knows its loop, so the weak key alone would keep both for ever: 33 kB for each `asyncio.run`.
        for ended in [one for one in list(_inboxes) if one.is_closed()]:
            _inboxes.pop(ended, None)
    of_loop = _inboxes.setdefault(loop, {})
    found = of_loop.get(url)
    if found is None:
        found = of_loop[url] = Inbox(url)
    return found
