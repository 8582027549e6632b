"""The few threads that blocking work of asyncio programs is done in: bounded, shared by all event loops.

Each kind of work has threads of its own, so that none waits for another kind: a send for those who wait.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, TypeVar

from django_rpc.transport.fork_safety import forget_after_fork

__all__ = ["LOCAL", "SENDING", "WAITING", "Background", "Threads", "in_callers_thread"]

T = TypeVar("T")


class Threads:
    """At most ``count`` threads, started when they are needed."""

    def __init__(self, name: str, count: int) -> None:
        self.name = name
        self.count = count
        self._begin()
        forget_after_fork(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None

    def after_fork(self) -> Any:
        old = self._executor
        self._begin()
        return old

    @property
    def executor(self) -> Executor:
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self.count, thread_name_prefix=self.name)
            return self._executor

    async def run(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """``function(*args, **kwargs)`` in one of the threads, with the caller's context variables."""
        call = functools.partial(contextvars.copy_context().run, function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self.executor, call)


#: Publishing is blocking and short (half a millisecond), and few threads do a lot of it.
SENDING = Threads("rpc-send", 4)
#: Waiting for answers by backends that have no way for asyncio: those beyond wait for their turn.
WAITING = Threads("rpc-wait", 16)
#: Local functions of plans that are awaited, and callbacks of futures.
LOCAL = Threads("rpc-local", 8)


async def in_callers_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """``function(...)`` where asgiref runs the blocking code of the caller, so with his database connections."""
    from asgiref.sync import sync_to_async  # there wherever a service is evaluated in this process: Django needs it

    return await sync_to_async(function)(*args, **kwargs)


class Background:
    """One event loop in one thread, for callbacks and waits of programs that have none."""

    def __init__(self) -> None:
        self._begin()
        forget_after_fork(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def after_fork(self) -> Any:
        old = self._loop
        self._begin()
        return old

    def start(self, work: Callable[[], Any]) -> None:
        """Begin a coroutine, ``work()``, in the loop; what it returns or raises is its own business."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="rpc-background", daemon=True).start()
            asyncio.run_coroutine_threadsafe(work(), self._loop)
