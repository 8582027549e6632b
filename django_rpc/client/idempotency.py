"""``with once("order-4711"): ...``: a key of the user's own for what is written, so that it can be written again.

The ids of the messages that write are made from the key: the same code under the same key sends the same requests, in
this process or another one, and the service does each of them once.
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

#: Room is left for what is added: numbers, and what tells sendings apart.
_KEY = re.compile(r"[A-Za-z0-9._-]{1,96}")


class Ids(NamedTuple):
    """``request`` is what the service's ledger knows a request by, ``message`` is this one sending of it.

    ``insists``: it is not to be done by a service that keeps no ledger.
    """

    request: str
    message: str
    insists: bool


class _Key:
    def __init__(self, key: str) -> None:
        self.key = key
        self.count = itertools.count(1)

    def next(self) -> str:
        number = next(self.count)
        return self.key if number == 1 else f"{self.key}.{number}"


_current: contextvars.ContextVar[_Key | None] = contextvars.ContextVar("django_rpc_once", default=None)


@contextlib.contextmanager
def once(key: str) -> Iterator[None]:
    """Within the block, the first message that writes has the id ``key``, the second ``key.2``, and so on.

    A block that is run again under its key, after a time-out or by another process, gets the first answers where its
    writes have been done.  Raises ValueError for a key that is not 1 to 96 letters, digits and ``. _ -``.

    >>> with once("order-4711"):
    ...     print(ids_for(True, False).request, ids_for(True, False).request)
    order-4711 order-4711.2
    """
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} cannot be a key: use letters, digits and . _ - , at most 96.")
    token = _current.set(_Key(key))
    try:
        yield
    finally:
        _current.reset(token)


def current_key() -> object | None:
    """What stands for the block of `once` that is open; None without one."""
    return _current.get()


def ids_for(writes: bool, exactly_once: bool) -> Ids:
    """The ids of the next message; ``exactly_once`` is what the settings of its service say."""
    new = secrets.token_hex(16)
    current = _current.get() if writes else None
    if current is None:
        return Ids(new, new, writes and exactly_once)
    request = current.next()
    # The answer to an earlier sending may be on its way: this one must not take it for its own.
    return Ids(request, sending_of(request, new[:12]), True)
