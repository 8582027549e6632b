"""What a child process does with the connections of its parent after ``os.fork``: leave them alone.

Web servers fork their workers after the project is imported, Celery's prefork pool forks its children.  A
socket that two processes write to is a broken protocol, and a library that closes its inherited copy politely
hangs up on the parent.  So everything that holds connections registers here; in the child its state is put
aside, neither used nor closed nor collected, and made anew.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["NO_FORK", "Pool", "forget_after_fork"]

T = TypeVar("T")


class Forgetful(Protocol):
    """Something that holds connections."""

    def after_fork(self) -> Any:
        """Begin anew, and return what must stay alive, untouched, for the rest of this process."""


_holders: weakref.WeakSet[Forgetful] = weakref.WeakSet()
#: Connections of the parents of this process.  Collecting one would shut down the parent's socket.
_of_parents: list[Any] = []


def forget_after_fork(holder: Forgetful) -> None:
    """Call ``holder.after_fork()`` in every child process that is forked while it lives."""
    _holders.add(holder)


#: A fork waits while a thread holds this lock. A thread that imports a module holds Python's lock of that module, and a
#: child that was forked at this moment could never import the module. So a thread holds NO_FORK where a call imports
#: modules or makes objects of Celery, kombu and redis-py, which have locks and late imports of their own. It must not
#: be held during network operations.
NO_FORK = threading.RLock()


def _in_child() -> None:
    for holder in list(_holders):
        _of_parents.append(holder.after_fork())
    NO_FORK.release()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(before=NO_FORK.acquire, after_in_parent=NO_FORK.release, after_in_child=_in_child)


class Pool(Generic[T]):
    """Idle connections, newest first: as many as callers at the same time, for any thread.

    >>> pool = Pool(list)
    >>> first = pool.take()
    >>> pool.give(first)
    >>> pool.take() is first
    True
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._idle: deque[T] = deque()
        forget_after_fork(self)

    def take(self) -> T:
        """An idle connection, or a new one."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._make()

    def give(self, item: T) -> None:
        """Put a connection back that works; drop one that does not."""
        self._idle.append(item)

    def drain(self) -> list[T]:
        """Take all idle connections out."""
        found = []
        while self._idle:
            found.append(self._idle.pop())
        return found

    def after_fork(self) -> deque[T]:
        old, self._idle = self._idle, deque()
        return old
