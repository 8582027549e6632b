"""Futures: results of a message that is under way.

The futures of one message share a `PendingCall`, which waits for the answer once and remembers it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

from django_rpc.client.errors import CallCancelled, ResultBackendUnavailable, RpcTimeout
from django_rpc.client.transport import Options, Reply
from django_rpc.graph.dag import topological
from django_rpc.graph.node import Literal, Node
from django_rpc.graph.values import freeze

__all__ = ["Future", "PendingCall"]

T = TypeVar("T")
logger = logging.getLogger("django_rpc.client")

#: Errors of the waiting, not of the call: the answer may still come, so they are not remembered.
_MAY_STILL_COME = (RpcTimeout, ResultBackendUnavailable)


class PendingCall:
    """One message that was sent: waits for its answer, for any number of futures and threads.

    ``settle`` turns the answer's bytes into the list of the outputs' values, or raises the call's error.  ``end``
    is told how a wait ended: with None for an answer, with the error otherwise (also one that may be asked past).
    """

    def __init__(
        self,
        request_id: str,
        reply: Reply,
        options: Options,
        settle: Callable[[bytes], list[Any]],
        end: Callable[[Exception | None], object],
    ) -> None:
        self.request_id = request_id
        self._reply = reply
        self._settle = settle
        self._end = end
        self._waiting = threading.Lock()  # held by the one thread that waits for the answer
        self._guard = threading.Lock()  # for the state below
        self._deadline = None if options.timeout is None else time.monotonic() + options.timeout
        self._settled = False
        self._cancelled = False
        self._values: list[Any] = []
        self._error: Exception | None = None
        self._callbacks: list[Callable[[], object]] = []

    def wait(self, timeout: float | None = None) -> list[Any]:
        """The outputs' values; ``timeout`` is from now, None means the rest of the call's own time-out.

        Raises the call's error, or RpcTimeout; after that one may ask again, until the answer has expired.
        """
        if not self._settled:
            deadline = self._deadline if timeout is None else time.monotonic() + timeout
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._waiting.acquire(timeout=-1 if remaining is None else remaining):
                raise RpcTimeout(f"No answer to request {self.request_id} within {remaining:.3g} s.")
            try:
                if not self._settled:
                    remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
                    self._finish(remaining)
            except _MAY_STILL_COME:
                if not self._settled:  # unless it was cancelled meanwhile
                    raise
            finally:
                self._waiting.release()
            self._run_callbacks()
        if self._error is not None:
            raise self._error
        return self._values

    def _finish(self, timeout: float | None) -> None:
        try:
            answer = self._reply.wait(timeout)
        except _MAY_STILL_COME as error:
            self._end(error)
            raise
        except Exception as error:  # noqa: BLE001 - remembered, and raised to everyone who asks
            self._error = error
        else:
            try:
                self._values = self._settle(answer)
            except Exception as error:  # noqa: BLE001 - as above
                self._error = error
        self._settled = True
        self._end(self._error)

    def done(self) -> bool:
        return self._settled or self._reply.ready()

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> bool:
        with self._guard:
            if self._cancelled:
                return True
            if self._settled or not self._reply.cancel():
                return False
            self._cancelled = True
            self._error = CallCancelled(f"Request {self.request_id} was cancelled before a worker began it.")
            self._settled = True
        self._run_callbacks()
        return True

    def when_done(self, callback: Callable[[], object]) -> None:
        """Call back once, from a thread of its own, when the answer is here or the call's time-out has passed."""
        with self._guard:
            late = self._settled
            if not late:
                self._callbacks.append(callback)
                if len(self._callbacks) == 1:
                    threading.Thread(target=self._watch, name=f"rpc-{self.request_id}", daemon=True).start()
        if late:
            callback()

    def _watch(self) -> None:
        try:
            self.wait()
        except Exception:
            logger.debug("Request %s ended with an error.", self.request_id, exc_info=True)
        self._run_callbacks()

    def _run_callbacks(self) -> None:
        with self._guard:
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


class Future(Generic[T]):
    """One result of a message under way, after `concurrent.futures.Future`.

    >>> future = Client.objects.filter(tier="vip").future().first()   # doctest: +SKIP
    >>> future.result(timeout=10)                                     # doctest: +SKIP
    <Client: 1>

    It can be awaited, and given as an argument to further queries.
    """

    def __init__(self, call: PendingCall, index: int, node: Node, finish: Callable[[Any], Any] | None = None) -> None:
        self._call = call
        self._index = index
        self._node = node
        self._finish = finish
        self._lock = threading.Lock()
        self._finished = False
        self._value: Any = None

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled() else "done" if self._finished else "sent"
        return f"<{type(self).__name__} {state} request={self.request_id}>"

    @property
    def request_id(self) -> str:
        """The id under which both ends have logged the message."""
        return self._call.request_id

    def result(self, timeout: float | None = None) -> T:
        """The value, from now on remembered.  ``timeout`` in seconds from now; None: the call's own time-out.

        Raises what the call raised, or RpcTimeout; after a time-out one may ask again.
        """
        if not self._finished:
            value = self._call.wait(timeout)[self._index]
            with self._lock:  # `finish` makes objects: everybody shall get the same
                if not self._finished:
                    self._value = value if self._finish is None else self._finish(value)
                    self._finished = True
        found: T = self._value
        return found

    def exception(self, timeout: float | None = None) -> Exception | None:
        """What `result` raises, or None; raises CallCancelled for a cancelled call, as concurrent.futures does."""
        try:
            self.result(timeout)
        except CallCancelled:
            raise
        except Exception as error:  # noqa: BLE001 - returned
            return error
        return None

    def done(self) -> bool:
        """The answer is here, or the call was cancelled."""
        return self._finished or self._call.done()

    def running(self) -> bool:
        """The call was sent and is not done (whether a worker has begun it, only the worker knows)."""
        return not self.done()

    def cancelled(self) -> bool:
        return self._call.cancelled

    def cancel(self) -> bool:
        """Revoke the message, with all its futures; True if no worker has begun it, and none will.

        False if it has begun, or if no worker answers the question.
        """
        return self._call.cancel()

    def add_done_callback(self, callback: Callable[[Future[T]], object]) -> None:
        """Call ``callback(self)`` once, from another thread, when the answer is here or the time-out has passed."""

        def call() -> None:
            try:
                callback(self)
            except Exception:
                logger.exception("A callback of request %s raised.", self.request_id)

        self._call.when_done(call)

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.to_thread(self.result).__await__()

    def __rpc_node__(self) -> Node:
        """This future as an argument: its expression, or its value where evaluating it again would write again."""
        if any(node.writes for node in topological([self._node])):
            return Literal(freeze(self.result()))
        return self._node
