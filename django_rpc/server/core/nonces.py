"""Tokens of messages that were received, remembered in a cache until they expire.

The broker delivers a message again if the worker that began it was killed. So a token is remembered as begun first,
and as used when the answer is made. Until then, the message may begin a few more times, and `begin` reports this.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_rpc.wire.signing import Claims

__all__ = ["begin", "end"]

#: Number of times that a message may begin, if its worker is killed each time.
MAX_BEGINS = 3
_USED = 1_000_000


def begin(cache: Any, claims: Claims) -> bool | None:
    """Return False for a new token, True for a token that was begun and not ended, None for a used token."""
    key = _key(claims)
    if cache.add(key, 1, _seconds(claims)):
        return False
    try:
        return True if cache.incr(key) <= MAX_BEGINS else None
    except ValueError:  # it expired after the first call
        return None


def end(cache: Any, claims: Claims) -> None:
    """Remember that the token is used."""
    cache.set(_key(claims), _USED, _seconds(claims))


def _key(claims: Claims) -> str:
    return f"django_rpc:token:{claims.unique}"


def _seconds(claims: Claims) -> float:
    from django_rpc.wire.signing import CLOCK_SKEW

    return max(claims.expires - time.time(), 0) + CLOCK_SKEW + 1
