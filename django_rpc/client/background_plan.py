"""A plan of several stages that runs in a thread of its own: what its futures wait for."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import secrets
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django_rpc.errors import CallCancelled, RpcTimeout

if TYPE_CHECKING:
    from django_rpc.client.execute import Run

__all__ = ["PlanCall"]


class PlanCall:
    """The counterpart of `futures.PendingCall`, for what one message cannot answer.

    ``request_id`` names the plan; each of its messages has an id of its own.
    """

    def __init__(self, run: Run) -> None:
        self.request_id = f"plan-{secrets.token_hex(8)}"
        self._run = run
        self._outcome: concurrent.futures.Future[list[Any]] = concurrent.futures.Future()
        work = contextvars.copy_context().run  # what the caller said of these calls, such as `once`, holds there too
        threading.Thread(target=work, args=(self._work,), name=f"rpc-{self.request_id}", daemon=True).start()

    def _work(self) -> None:
        try:
            self._run.execute()
            values = self._run.values()
        except BaseException as error:  # noqa: BLE001 - raised to everyone who asks
            self._outcome.set_exception(error)
        else:
            self._outcome.set_result(values)

    def wait(self, timeout: float | None = None) -> list[Any]:
        """The outputs' values; ``timeout`` is from now, None means until the plan's own deadline ends it."""
        try:
            return self._outcome.result(timeout)
        except TimeoutError:
            if self._outcome.done():
                raise  # the plan's own
            raise RpcTimeout(f"{self.request_id} has not ended within {timeout:.3g} s.") from None

    async def arrive(self, timeout: float | None = None) -> list[Any]:
        """`wait`, without blocking the event loop."""
        done, _ = await asyncio.wait([asyncio.wrap_future(self._outcome)], timeout=timeout)
        return self.wait(None if done else 0)

    def done(self) -> bool:
        return self._outcome.done()

    @property
    def cancelled(self) -> bool:
        return self._outcome.done() and isinstance(self._outcome.exception(), CallCancelled)

    def cancel(self) -> bool:
        """Begin no further stage; True if the plan had not ended.  What services have done already is done."""
        if self._outcome.done():
            return self.cancelled
        self._run.cancelled = True
        for call in self._run.under_way:
            call.cancel()
        return not self._outcome.done() or self.cancelled

    def when_done(self, callback: Callable[[], object]) -> None:
        self._outcome.add_done_callback(lambda outcome: callback())
