"""Bounded pools of threads for the blocking work of asyncio programs; all event loops share them.

Each kind of work has separate threads, so that a send does not wait until a wait for an answer has ended.
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
    """Pool of at most ``count`` threads, which are started when they are needed."""

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
        """Call ``function(*args, **kwargs)`` in a thread of the pool, with the context variables of the caller."""
        call = functools.partial(contextvars.copy_context().run, function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self.executor, call)


#: Threads that publish. A publish takes half a millisecond, so few threads are enough.
SENDING = Threads("rpc-send", 4)
#: Threads that wait for answers of backends without asyncio support; further calls wait for a free thread.
WAITING = Threads("rpc-wait", 16)
#: Threads for local functions of awaited plans, and for callbacks of futures.
LOCAL = Threads("rpc-local", 8)


async def in_callers_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call ``function(...)`` in the thread where asgiref runs blocking code, which has the database connections."""
    from asgiref.sync import sync_to_async  # a process that evaluates a service has Django, which needs asgiref

    return await sync_to_async(function)(*args, **kwargs)


class Background:
    """Event loop in a thread, for callbacks and waits of programs without an event loop."""

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
        """Start the coroutine ``work()`` in the loop. Its result or exception is ignored."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="rpc-background", daemon=True).start()
            asyncio.run_coroutine_threadsafe(work(), self._loop)
