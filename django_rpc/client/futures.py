"""Futures: results of a message that was sent, and not necessarily answered.

The futures of one message share a `PendingCall`, which waits for the answer once and stores it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import threading
import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from django_rpc.client.async_replay import converted
from django_rpc.client.decode_result import FailedOutput
from django_rpc.errors import CallCancelled, ResultBackendUnavailable, RpcTimeout
from django_rpc.graph.delayed.local_arguments import waited_for
from django_rpc.graph.nodes import LOCAL_KINDS, Literal, Node
from django_rpc.graph.traversal import topological
from django_rpc.graph.values import freeze
from django_rpc.transport.base import Options, Reply
from django_rpc.transport.threads import LOCAL, Background

__all__ = ["Future", "PendingCall"]

T = TypeVar("T")
logger = logging.getLogger("django_rpc.client")

#: Errors of the wait, not of the call. The answer may still arrive, so these errors are not stored.
_MAY_STILL_ARRIVE = (RpcTimeout, ResultBackendUnavailable)
_LOCAL_KINDS = frozenset(LOCAL_KINDS.values())

#: Event loop that waits for all calls with callbacks.
_background = Background()


class PendingCall:
    """One message that was sent. It waits for its answer, for any number of futures and threads.

    ``settle`` turns the bytes of the answer into the list of the outputs' values, or raises the error of the call.
    ``end`` is called at the end of each wait: with None for an answer, otherwise with the error. After a timeout a
    further wait may follow, so ``end`` may be called again.
    """

    def __init__(
        self,
        request_id: str,
        reply: Reply,
        options: Options,
        settle: Callable[[bytes], list[Any]],
        end: Callable[[Exception | None], object],
        message: Any = None,
    ) -> None:
        self.message = message  # of this call; other stages of the plan read it
        self.request_id = request_id
        self._reply = reply
        self._settle = settle
        self._end = end
        self._waiting = threading.Lock()  # held by the thread or task that waits for the answer
        self._waiters: list[Callable[[], object]] = []  # called when that thread or task ends its wait
        self._guard = threading.Lock()  # for the state below; never held during network operations
        self._process = os.getpid()
        self._deadline = None if options.timeout is None else time.monotonic() + options.timeout
        self._settled = False
        self._cancelled = False
        self._values: list[Any] = []
        self._error: Exception | None = None
        self._callbacks: list[Callable[[], object]] = []

    def wait(self, timeout: float | None = None) -> list[Any]:
        """Return the outputs' values. ``timeout`` starts now; None means the rest of the timeout of the call.

        Raise the error of the call, or RpcTimeout. After RpcTimeout a caller may wait again, until the answer has
        expired.
        """
        if not self._settled:
            self._check_process()
            deadline = self._deadline if timeout is None else time.monotonic() + timeout
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._waiting.acquire(timeout=-1 if remaining is None else remaining):
                raise self._no_answer(remaining)
            try:
                if not self._settled:
                    remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
                    self._finish(remaining)
            except _MAY_STILL_ARRIVE:
                if not self._settled:  # unless the call was cancelled during the wait
                    raise
            finally:
                self._pass_on()
            self._run_callbacks()
        return self._outcome()

    async def arrive(self, timeout: float | None = None) -> list[Any]:
        """Wait without blocking the event loop, and without a thread where the reply supports asyncio. See `wait`."""
        deadline = self._deadline if timeout is None else time.monotonic() + timeout
        while not self._settled:
            self._check_process()
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._waiting.acquire(blocking=False):
                await self._passed_on(remaining)
                continue
            try:
                if not self._settled:
                    await self._finish_async(remaining)
            except _MAY_STILL_ARRIVE:
                if not self._settled:
                    raise
            finally:
                self._pass_on()
            self._run_callbacks()
        return self._outcome()

    def _check_process(self) -> None:
        """Raise RuntimeError in a child process of the sender: the answer arrives in the process of the sender."""
        if self._process != os.getpid():
            raise RuntimeError(
                f"Request {self.request_id} was sent by process {self._process} before a fork, and only that process "
                "receives its answer. Wait for it there, and send requests of this process after the fork."
            )

    def _no_answer(self, seconds: float | None) -> RpcTimeout:
        error = RpcTimeout(f"No answer to request {self.request_id} within {seconds:.3g} s.")
        error.request_id = self.request_id
        return error

    def _outcome(self) -> list[Any]:
        if self._error is not None:
            raise self._error
        return self._values

    def _pass_on(self) -> None:
        """End this wait, so that another thread or task can wait."""
        self._waiting.release()
        with self._guard:
            waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter()

    async def _passed_on(self, remaining: float | None) -> None:
        """Wait until the current waiter has the answer, or gives up; raise RpcTimeout."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()

        def wake() -> None:
            if not turn.done():
                turn.set_result(None)

        with self._guard:
            self._waiters.append(lambda: loop.is_closed() or loop.call_soon_threadsafe(wake))
        if not self._waiting.locked():  # the wait ended before this entry was added
            return
        done, _ = await asyncio.wait([turn], timeout=remaining)
        if not done:
            raise self._no_answer(remaining)

    def _finish(self, timeout: float | None) -> None:
        try:
            answer = self._reply.wait(timeout)
        except Exception as error:  # noqa: BLE001 - stored, and raised to each caller
            self._failed(error)
        else:
            self._answered(answer)

    async def _finish_async(self, timeout: float | None) -> None:
        try:
            answer = await self._reply.arrive(timeout)
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(error)
        else:
            self._answered(answer)

    def _answered(self, answer: bytes) -> None:
        try:
            self._values = self._settle(answer)
        except Exception as error:  # noqa: BLE001 - as above
            self._error = error
        self._settled = True
        self._end(self._error)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, _MAY_STILL_ARRIVE):
            self._end(error)
            raise error
        self._error = error
        self._settled = True
        self._end(error)

    def done(self) -> bool:
        return self._settled or (self._process == os.getpid() and self._reply.ready())

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> bool:
        if self.cancelled:
            return True
        self._check_process()
        if self._settled or not self._reply.cancel():
            return False
        with self._guard:
            if self._cancelled:  # by another thread
                return True
            self._cancelled = True
            self._error = CallCancelled(f"Request {self.request_id} was cancelled before a worker began it.")
            self._settled = True
        self._end(self._error)
        self._run_callbacks()
        return True

    def when_done(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` once, from another thread, when the answer arrives or after the timeout of the call."""
        with self._guard:
            late = self._settled
            if not late:
                self._callbacks.append(callback)
                if len(self._callbacks) == 1:
                    _background.start(self._watch)
        if late:
            callback()

    async def _watch(self) -> None:
        try:
            await self.arrive()
        except Exception:
            logger.debug("Request %s ended with an error.", self.request_id, exc_info=True)
        await LOCAL.run(self._run_callbacks)

    def _run_callbacks(self) -> None:
        with self._guard:
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


class _Waiters(list[Any]):
    """List of the waiters of `concurrent.futures.wait` for a future. ``watch`` is called for each added waiter."""

    def __init__(self, watch: Callable[[], object]) -> None:
        super().__init__()
        self._watch = watch

    def append(self, waiter: Any) -> None:
        super().append(waiter)
        self._watch()


class Future(concurrent.futures.Future[T]):
    """One result of a message that was sent, as a `concurrent.futures.Future`.

    >>> future = Customer.objects.order_by("pk").future().first()
    >>> future.result(timeout=10).pk
    1

    A future can be awaited, and can be an argument of further queries. The state of the base class is set at the end of
    the call, if a callback, `concurrent.futures.wait` or asyncio waits for it. Otherwise no thread waits.
    """

    _waiters: list[Any]

    def __init__(self, call: Any, index: int, node: Node, finish: Callable[[Any], Any] | None = None) -> None:
        super().__init__()
        self._waiters = _Waiters(self._watch)
        self._call = call
        self._index = index
        self._node = node
        self._finish = finish
        self._lock = threading.Lock()
        self._finished = False
        self._watched = False
        self._value: Any = None

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled() else "done" if self._finished else "sent"
        return f"<{type(self).__name__} {state} request={self.request_id}>"

    @property
    def request_id(self) -> str:
        """Id of the message in the logs of client and server."""
        request_id: str = self._call.request_id
        return request_id

    def result(self, timeout: float | None = None) -> T:
        """Return the value, and store it. ``timeout`` is in seconds from now; None means the timeout of the call.

        Raise the error of the call, or RpcTimeout. After RpcTimeout a caller may wait again.
        """
        if not self._finished:
            value = self._call.wait(timeout)[self._index]
            if type(value) is FailedOutput:
                raise value.error
            with self._lock:  # `finish` makes objects, and all callers must get the same objects
                if not self._finished:
                    self._value = value if self._finish is None else self._finish(value)
                    self._finished = True
        result: T = self._value
        return result

    def exception(self, timeout: float | None = None) -> Exception | None:
        """Return the error that `result` raises, or None.

        Raise CallCancelled for a cancelled call, and RpcTimeout if the call has not ended within ``timeout`` seconds.
        """
        try:
            self.result(timeout)
        except CallCancelled:
            raise
        except _MAY_STILL_ARRIVE as error:
            if timeout is not None and not super().done():
                raise
            return error
        except Exception as error:  # noqa: BLE001 - returned
            return error
        return None

    def done(self) -> bool:
        """Return True after an answer, a cancellation, or a timeout that passed while a callback waited."""
        return self._finished or bool(self._call.done()) or super().done()

    def running(self) -> bool:
        """Return True while the call is not done. The client does not know if a worker has begun the call."""
        return not self.done()

    def cancelled(self) -> bool:
        return bool(self._call.cancelled)

    def cancel(self) -> bool:
        """Revoke the message, with all its futures. Return True if no worker has begun it, and none will.

        Return False if a worker has begun it, or if no worker answers.
        """
        return bool(self._call.cancel())

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Call ``callback(self)`` once, from another thread, when the answer arrives or after the timeout."""
        super().add_done_callback(callback)
        self._watch()

    def _watch(self) -> None:
        """Set the state of the base class when the call ends."""
        with self._lock:
            watched, self._watched = self._watched, True
        if not watched:
            self._call.when_done(self._publish)

    def _publish(self) -> None:
        try:
            value = self.result(timeout=0)
        except CallCancelled:
            super().cancel()
            self.set_running_or_notify_cancel()
        except BaseException as error:  # noqa: BLE001 - stored for the waiters
            self.set_exception(error)
        else:
            self.set_result(value)

    def __await__(self) -> Generator[Any, None, T]:
        if not self._finished:
            yield from self._call.arrive().__await__()
            return (yield from converted([self._node], self.result).__await__())
        return self.result()

    def __rpc_node__(self) -> Node:
        """Return the expression of this future, or its value where a second evaluation would write again.

        The value of a plan with local functions is fetched where a query needs it.
        """
        nodes = topological([self._node])
        if any(type(node) in _LOCAL_KINDS for node in nodes):
            return waited_for(self)
        if any(node.writes for node in nodes):
            return Literal(freeze(self.result()))
        return self._node
