"""Functions that wait for many futures, and for many calls that were not sent yet."""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION
from typing import Any, NamedTuple

from django_rpc.client.execute import acompute, submit
from django_rpc.client.futures import Future
from django_rpc.errors import CallCancelled, RpcTimeout
from django_rpc.graph.delayed.compute import gathered, outputs_of

__all__ = ["DoneAndNotDone", "agather", "as_completed", "gather", "wait"]


class DoneAndNotDone(NamedTuple):
    """Result of `wait`."""

    done: set[Future[Any]]
    not_done: set[Future[Any]]


def as_completed(futures: Iterable[Future[Any]], timeout: float | None = None) -> Iterator[Future[Any]]:
    """Return the futures in the order of their completion: an answer, a failure or a timeout.

    A future that occurs twice is returned once. Raise RpcTimeout ``timeout`` seconds after the call of this function,
    if futures remain.

        for future in as_completed([qs.submit() for qs in querysets]):
            print(future.result())
    """
    waiting = set(futures)
    deadline = None if timeout is None else time.monotonic() + timeout
    arrived: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
    for future in waiting:
        future.add_done_callback(arrived.put)
    return _arrivals(waiting, arrived, deadline)


def _arrivals(
    waiting: set[Future[Any]], arrived: queue.SimpleQueue[Future[Any]], deadline: float | None
) -> Iterator[Future[Any]]:
    count = len(waiting)
    while waiting:
        try:
            future = arrived.get(timeout=None if deadline is None else max(deadline - time.monotonic(), 0))
        except queue.Empty:
            raise RpcTimeout(f"{len(waiting)} of {count} futures have no answer yet.") from None
        waiting.discard(future)
        yield future


def wait(
    futures: Iterable[Future[Any]], timeout: float | None = None, return_when: str = ALL_COMPLETED
) -> DoneAndNotDone:
    """Wait, for ``timeout`` seconds at most, until all futures are done, the first is, or the first has failed.

    ``return_when`` is ALL_COMPLETED, FIRST_COMPLETED or FIRST_EXCEPTION of ``concurrent.futures``. Return the sets
    ``done`` and ``not_done``; raise ValueError for another ``return_when``.
    """
    if return_when not in (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION):
        raise ValueError(f"{return_when!r} is none of ALL_COMPLETED, FIRST_COMPLETED and FIRST_EXCEPTION.")
    waiting, done = set(futures), set()
    arrivals = as_completed(waiting, timeout)
    try:
        for future in arrivals:
            done.add(future)
            if return_when == FIRST_COMPLETED or (return_when == FIRST_EXCEPTION and _has_failed(future)):
                break
    except RpcTimeout:
        pass
    return DoneAndNotDone(done, waiting - done)


def _has_failed(future: Future[Any]) -> bool:
    try:
        return future.exception(timeout=0) is not None
    except CallCancelled:
        return False  # as in concurrent.futures


def gather(*calls: Any, timeout: float | None = None, priority: bool = False) -> list[Any]:
    """Return the values of ``calls`` in their order: Delayed, querysets, futures, plain values, and containers of them.

    All calls that were not sent yet are sent first, in the fewest messages; then the futures are awaited. ``timeout``
    is in seconds, for all calls together. Raise the error of the first call that failed.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    unsent, put_back = gathered(calls)
    sent = submit(outputs_of(unsent), timeout=timeout, priority=priority) if unsent else []
    values = [future.result(None if deadline is None else max(deadline - time.monotonic(), 0)) for future in sent]
    return list(put_back(values, None if deadline is None else max(deadline - time.monotonic(), 0)))


async def agather(*calls: Any, timeout: float | None = None, priority: bool = False) -> list[Any]:
    """Return the values without blocking the event loop. See `gather`."""
    unsent, put_back = gathered(calls)
    flying = list(put_back.futures)
    work = asyncio.gather(acompute(outputs_of(unsent), timeout=timeout, priority=priority), *map(_arrival, flying))
    try:
        values, *_ = await asyncio.wait_for(work, timeout)
    except TimeoutError as error:
        if isinstance(error, RpcTimeout):
            raise
        raise RpcTimeout(f"No answer within {timeout:g} s.") from None
    return list(put_back(values, None))


async def _arrival(future: Any) -> Any:
    return await future
