"""Requests a minute of each client, counted in Django's cache for all processes together.

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
    """What this process knows of one client in one minute: ``untold`` requests, ``over``: refused until it ends."""

    __slots__ = ("minute", "over", "untold")

    def __init__(self, minute: int) -> None:
        self.minute = minute
        self.untold = 0
        self.over = False


_counters: dict[str, _Counter] = {}
_lock = threading.Lock()


def forget() -> None:
    """Begin anew, for tests."""
    _counters.clear()


def count(client: Client) -> None:
    """Note a request of ``client``; raises TooManyRequests.

    A cache that fails stops nobody here: it is a limit for clients that are let in already.
    """
    minute, limit = int(time.time() / _MINUTE), client.limits.requests
    with _lock:
        counter = _counters.get(client.name)
        if counter is None or counter.minute != minute:
            counter = _counters[client.name] = _Counter(minute)
        counter.untold += 1
        told = 0
        if counter.untold * _PARTS >= limit and not counter.over:
            told, counter.untold = counter.untold, 0
    if told:
        counter.over = _tell(f"django_rpc:requests:{client.name}:{minute}", told) > limit
    if counter.over:
        raise TooManyRequests(limit)


def _tell(key: str, number: int) -> int:
    """Add to the number in the cache; returns it, 0 where the cache fails."""
    try:
        cache = replays.cache()
        if cache.add(key, number, 2 * _MINUTE):
            return number
        return int(cache.incr(key, number))
    except Exception:  # whatever a cache raises
        logger.exception("The requests of a client could not be counted")
        return 0
