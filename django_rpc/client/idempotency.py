"""Idempotency keys of the user for writes, so that a repeated write is executed once: ``with once("order-4711")``.

The ids of the messages that write are made from the key. So the same code with the same key sends the same requests, in
this process or another, and the service executes each of them once.
"""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import re
import secrets
from collections.abc import Iterator
from typing import NamedTuple

from django_rpc.wire.names import sending_of

__all__ = ["Ids", "current_key", "ids_for", "once"]

#: The limit of 96 characters leaves room for the number of the request and of the sending.
_KEY = re.compile(r"[A-Za-z0-9._-]{1,96}")


class Ids(NamedTuple):
    """Ids of a message: ``request`` is the key in the service's ledger, and ``message`` is the id of this sending.

    ``insists`` is True for a request that a service without a ledger must refuse.
    """

    request: str
    message: str
    insists: bool


class _OnceBlock:
    def __init__(self, key: str) -> None:
        self.key = key
        self.count = itertools.count(1)

    def next(self) -> str:
        number = next(self.count)
        return self.key if number == 1 else f"{self.key}.{number}"


_current: contextvars.ContextVar[_OnceBlock | None] = contextvars.ContextVar("django_rpc_once", default=None)


@contextlib.contextmanager
def once(key: str) -> Iterator[None]:
    """Within the block, the first message that writes has the id ``key``, the second ``key.2``, and so on.

    A block that runs again with its key, after a timeout or in another process, gets the first answers of executed
    writes. Raise ValueError for a key that is not 1 to 96 letters, digits and ``. _ -``.

    >>> with once("order-4711"):
    ...     print(ids_for(True, False).request, ids_for(True, False).request)
    order-4711 order-4711.2
    """
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} cannot be a key: use 1 to 96 letters, digits and . _ -")
    token = _current.set(_OnceBlock(key))
    try:
        yield
    finally:
        _current.reset(token)


def current_key() -> object | None:
    """Return an object that identifies the open block of `once`; None without an open block."""
    return _current.get()


def ids_for(writes: bool, exactly_once: bool) -> Ids:
    """Return the ids of the next message; ``exactly_once`` is the setting of its service."""
    new = secrets.token_hex(16)
    current = _current.get() if writes else None
    if current is None:
        return Ids(new, new, writes and exactly_once)
    request = current.next()
    # The answer to an earlier sending may still arrive, and must not be taken for the answer to this sending.
    return Ids(request, sending_of(request, new[:12]), True)
