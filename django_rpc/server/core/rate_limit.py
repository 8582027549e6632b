"""Rate limits of each client: requests in a minute and withdrawals in an hour, counted in a cache.

All processes of the service share the numbers in the cache. The window slides: the count of the previous minute is
weighted with the part of it that lies within the last 60 seconds. The limit for an hour works in the same way.

A process counts in memory, and adds its count to the cache after each thousandth part of the limit. With a limit of
100,000 it calls the cache once for 100 requests; with a limit of 1,000 or less, once for each request.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from django_rpc.errors import TooManyRequests
from django_rpc.server.core.limits import Allowance, exceeded

__all__ = ["count", "forget"]

logger = logging.getLogger("django_rpc.server")

#: Length of the window of each limit, in seconds.
WINDOWS = {"requests": 60, "withdrawals": 3600}
_PARTS = 1_000


class _Counter:
    """Counts of one client: ``pending`` only in this process, ``total`` and ``before`` in this and the last window."""

    __slots__ = ("before", "pending", "total", "window")

    def __init__(self, window: int, before: int) -> None:
        self.window = window
        self.before = before
        self.pending = 0
        self.total = 0

    def exceeds(self, limit: int, elapsed: float) -> bool:
        """Return True if the count is over ``limit``; ``elapsed`` is the part of this window that has passed."""
        return self.total + self.before * (1 - elapsed) > limit


_counters: dict[tuple[str, str], _Counter] = {}
_lock = threading.Lock()


def forget() -> None:
    """Reset all counts, for tests."""
    _counters.clear()


def count(client: str, allowed: Allowance, cache: Callable[[], Any], limit: str = "requests") -> None:
    """Count a request of ``client``, or another use of ``limit``; raises TooManyRequests.

    ``cache`` returns the cache. If it fails, no client is refused, because the clients are authenticated already.
    """
    most, seconds = getattr(allowed, limit), WINDOWS[limit]
    window, elapsed = divmod(time.time() / seconds, 1)
    counter = _counters.get((client, limit))
    if counter is None or counter.window != window:
        before = _add(cache, _key(client, limit, window - 1), 0, seconds)
        with _lock:
            counter = _counters.get((client, limit))
            if counter is None or counter.window != window:
                counter = _counters[client, limit] = _Counter(int(window), before)
    if counter.exceeds(most, elapsed):
        raise exceeded(TooManyRequests, most, limit=limit)
    number = 0
    with _lock:
        counter.pending += 1
        if counter.pending * _PARTS >= most:
            number, counter.pending = counter.pending, 0
    if number:
        counter.total = _add(cache, _key(client, limit, window), number, seconds)
        if counter.exceeds(most, elapsed):
            raise exceeded(TooManyRequests, most, limit=limit)


def _key(client: str, limit: str, window: float) -> str:
    return f"django_rpc:{limit}:{client}:{int(window)}"


def _add(cache: Callable[[], Any], key: str, number: int, seconds: int) -> int:
    """Add to the number in the cache and return the new number; 0 if the cache fails."""
    try:
        store = cache()
        if not number:
            return int(store.get(key, 0))
        if store.add(key, number, 3 * seconds):
            return number
        return int(store.incr(key, number))
    except Exception:  # each cache backend raises errors of its libraries
        logger.exception("The requests of a client could not be counted")
        return 0
