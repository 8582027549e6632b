"""Requests a minute, and withdrawals an hour, of each client: counted in Django's cache for all processes together.

The window slides: a part of the minute before counts, as large as the part of it that lies within 60 seconds.  An hour
does the same.

A process counts for itself, and tells the cache after each thousandth part of the limit: a limit of 100,000 asks it
once for 100 requests, one of 1,000 or less each time.
"""

from __future__ import annotations

import logging
import threading
import time

from django_rpc.server import replays
from django_rpc.server.allowance import Allowance, TooManyRequests

__all__ = ["count", "forget"]

logger = logging.getLogger("django_rpc.server")

#: Seconds for which each limit counts.
WINDOWS = {"requests": 60, "withdrawals": 3600}
_PARTS = 1_000


class _Counter:
    """Requests of one client: ``untold`` of this process; ``total`` of all in this window, ``before`` in the last."""

    __slots__ = ("before", "total", "untold", "window")

    def __init__(self, window: int, before: int) -> None:
        self.window = window
        self.before = before
        self.untold = 0
        self.total = 0

    def exceeds(self, limit: int, elapsed: float) -> bool:
        """Return whether there are more than ``limit``, where ``elapsed`` is the part of this window that is over."""
        return self.total + self.before * (1 - elapsed) > limit


_counters: dict[tuple[str, str], _Counter] = {}
_lock = threading.Lock()


def forget() -> None:
    """Begin anew, for tests."""
    _counters.clear()


def count(client: str, allowed: Allowance, limit: str = "requests") -> None:
    """Note a request of ``client``, or another use that ``limit`` names; raises TooManyRequests.

    A cache that fails stops nobody here: it is a limit for clients that are let in already.
    """
    most, seconds = getattr(allowed, limit), WINDOWS[limit]
    window, elapsed = divmod(time.time() / seconds, 1)
    counter = _counters.get((client, limit))
    if counter is None or counter.window != window:
        before = _tell(_key(client, limit, window - 1), 0, seconds)
        with _lock:
            counter = _counters.get((client, limit))
            if counter is None or counter.window != window:
                counter = _counters[client, limit] = _Counter(int(window), before)
    if counter.exceeds(most, elapsed):
        raise TooManyRequests(most, limit=limit)
    told = 0
    with _lock:
        counter.untold += 1
        if counter.untold * _PARTS >= most:
            told, counter.untold = counter.untold, 0
    if told:
        counter.total = _tell(_key(client, limit, window), told, seconds)
        if counter.exceeds(most, elapsed):
            raise TooManyRequests(most, limit=limit)


def _key(client: str, limit: str, window: float) -> str:
    return f"django_rpc:{limit}:{client}:{int(window)}"


def _tell(key: str, number: int, seconds: int) -> int:
    """Add to the number in the cache; returns it, 0 where the cache fails."""
    try:
        cache = replays.cache()
        if not number:
            return int(cache.get(key, 0))
        if cache.add(key, number, 3 * seconds):
            return number
        return int(cache.incr(key, number))
    except Exception:  # whatever a cache raises
        logger.exception("The requests of a client could not be counted")
        return 0
