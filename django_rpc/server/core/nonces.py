"""Tokens that were used, remembered in Django's cache until they expire.

A message may come twice for an honest reason: the worker that had begun it was killed, and the broker gives it to
another one.  So a token is remembered as begun first, and as used up when its answer is made: until then it may be
begun a few times more, which `begin` tells.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured

from django_rpc.server.conf import settings

if TYPE_CHECKING:
    from django_rpc.wire.signing import Claims

__all__ = ["begin", "cache", "end"]

#: How often a message whose worker was killed is begun, all in all.
MAX_BEGINS = 3
_USED_UP = 1_000_000


def cache() -> Any:
    """Django's cache that the setting CACHE names; raises ImproperlyConfigured."""
    try:
        return caches[settings.CACHE]
    except Exception as error:
        raise ImproperlyConfigured(
            f"DJANGO_RPC['CACHE'] is {settings.CACHE!r}, which cannot be used: {error}. It names an entry of CACHES."
        ) from error


def begin(claims: Claims) -> bool | None:
    """False for a token that is new, True for one that was begun and not ended, None for one that was used."""
    remembered, key = cache(), _key(claims)
    if remembered.add(key, 1, _seconds(claims)):
        return False
    try:
        return True if remembered.incr(key) <= MAX_BEGINS else None
    except ValueError:  # forgotten between the two: it has expired
        return None


def end(claims: Claims) -> None:
    """Remember that the token is used up."""
    cache().set(_key(claims), _USED_UP, _seconds(claims))


def _key(claims: Claims) -> str:
    return f"django_rpc:token:{claims.unique}"


def _seconds(claims: Claims) -> float:
    from django_rpc.wire.signing import CLOCK_SKEW

    return max(claims.expires - time.time(), 0) + CLOCK_SKEW + 1
