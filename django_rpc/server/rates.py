"""Requests a minute of each client, counted in Django's cache for all processes together.

The window slides: a part of the minute before counts, as large as the part of it that lies within 60 seconds.

A process counts for itself, and tells the cache after each thousandth part of the limit: a limit of 100,000 asks it
once for 100 requests, one of 1,000 or less each time.
"""

from __future__ import annotations

import logging
import threading
import time

from django_rpc.server import replays
from django_rpc.server.allowance import TooManyRequests
from django_rpc.server.clients import Client

__all__ = ["count", "forget"]

logger = logging.getLogger("django_rpc.server")

_MINUTE = 60
_PARTS = 1_000


class _Counter:
    """Requests of one client: ``untold`` of this process; ``total`` of all in this minute, ``before`` in the last."""

    __slots__ = ("before", "minute", "total", "untold")

    def __init__(self, minute: int, before: int) -> None:
        self.minute = minute
        self.before = before
        self.untold = 0
        self.total = 0

    def exceeds(self, limit: int, moment: float) -> bool:
        """Return whether the last 60 seconds have more requests: of the last minute, the part within them counts."""
        return self.total + self.before * (1 - moment % _MINUTE / _MINUTE) > limit


_counters: dict[str, _Counter] = {}
_lock = threading.Lock()


def forget() -> None:
    """Begin anew, for tests."""
    _counters.clear()


def count(client: Client) -> None:
    """Note a request of ``client``; raises TooManyRequests.

    A cache that fails stops nobody here: it is a limit for clients that are let in already.
    """
    moment, limit = time.time(), client.limits.requests
    minute = int(moment / _MINUTE)
    counter = _counters.get(client.name)
    if counter is None or counter.minute != minute:
        before = _tell(_key(client, minute - 1), 0)
        with _lock:
            counter = _counters.get(client.name)
            if counter is None or counter.minute != minute:
                counter = _counters[client.name] = _Counter(minute, before)
    if counter.exceeds(limit, moment):
        raise TooManyRequests(limit)
    told = 0
    with _lock:
        counter.untold += 1
        if counter.untold * _PARTS >= limit:
            told, counter.untold = counter.untold, 0
    if told:
        counter.total = _tell(_key(client, minute), told)
        if counter.exceeds(limit, moment):
            raise TooManyRequests(limit)


def _key(client: Client, minute: int) -> str:
    return f"django_rpc:requests:{client.name}:{minute}"


def _tell(key: str, number: int) -> int:
    """Add to the number in the cache; returns it, 0 where the cache fails."""
    try:
        cache = replays.cache()
        if not number:
            return int(cache.get(key, 0))
        if cache.add(key, number, 3 * _MINUTE):
            return number
        return int(cache.incr(key, number))
    except Exception:  # whatever a cache raises
        logger.exception("The requests of a client could not be counted")
        return 0
