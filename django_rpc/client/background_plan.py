"""Plan of several stages that runs in a background thread."""

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
    """Counterpart of `futures.PendingCall` for a plan of several stages.

    ``request_id`` is an id of the plan. Each of its messages has another id.
    """

    def __init__(self, run: Run) -> None:
        self.request_id = f"plan-{secrets.token_hex(8)}"
        self._run = run
        self._outcome: concurrent.futures.Future[list[Any]] = concurrent.futures.Future()
        work = contextvars.copy_context().run  # blocks of the caller, such as `once`, apply in the thread too
        threading.Thread(target=work, args=(self._work,), name=f"rpc-{self.request_id}", daemon=True).start()

    def _work(self) -> None:
        try:
            self._run.execute()
            values = self._run.values()
        except BaseException as error:  # noqa: BLE001 - raised to each caller of `wait`
            self._outcome.set_exception(error)
        else:
            self._outcome.set_result(values)

    def wait(self, timeout: float | None = None) -> list[Any]:
        """Return the outputs' values. ``timeout`` starts now; None means until the deadline of the plan."""
        try:
            return self._outcome.result(timeout)
        except TimeoutError:
            if self._outcome.done():
                raise  # the error of the plan
            raise RpcTimeout(f"{self.request_id} has not ended within {timeout:.3g} s.") from None

    async def arrive(self, timeout: float | None = None) -> list[Any]:
        """Wait without blocking the event loop. See `wait`."""
        done, _ = await asyncio.wait([asyncio.wrap_future(self._outcome)], timeout=timeout)
        return self.wait(None if done else 0)

    def done(self) -> bool:
        return self._outcome.done()

    @property
    def cancelled(self) -> bool:
        return self._outcome.done() and isinstance(self._outcome.exception(), CallCancelled)

    def cancel(self) -> bool:
        """Begin no further stage, and return True if the plan had not ended. Executed stages are not undone."""
        if self._outcome.done():
            return self.cancelled
        self._run.cancelled = True
        for call in self._run.under_way:
            call.cancel()
        return not self._outcome.done() or self.cancelled

    def when_done(self, callback: Callable[[], object]) -> None:
        self._outcome.add_done_callback(lambda outcome: callback())
