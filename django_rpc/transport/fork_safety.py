"""Fork safety: a child process of ``os.fork`` never uses the connections of its parent.

Web servers fork their workers after the import of the project, and Celery's prefork pool forks its children. Two
processes that write to one socket break its protocol. A library that closes an inherited connection says goodbye on
the socket of the parent. So each object with connections registers here. In a child, its state is kept aside, where it
is not used, closed or garbage-collected, and the object creates a new state.
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


class ConnectionHolder(Protocol):
    """An object with connections."""

    def after_fork(self) -> Any:
        """Create a new state, and return the old state, which is kept alive until the process ends."""


_holders: weakref.WeakSet[ConnectionHolder] = weakref.WeakSet()
#: Connections of the parents of this process. Garbage collection of a connection would shut down the parent's socket.
_of_parents: list[Any] = []


def forget_after_fork(holder: ConnectionHolder) -> None:
    """Call ``holder.after_fork()`` in each child process that is forked while ``holder`` exists."""
    _holders.add(holder)


#: A fork waits while a thread holds this lock. A thread that imports a module holds Python's lock of that module, and a
#: child that was forked at this moment could never import the module. So a thread holds NO_FORK where a call imports
#: modules, or makes objects of Celery, kombu and redis-py, which have locks and late imports. It must not be held
#: during network operations.
NO_FORK = threading.RLock()


def _in_child() -> None:
    for holder in list(_holders):
        _of_parents.append(holder.after_fork())
    NO_FORK.release()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(before=NO_FORK.acquire, after_in_parent=NO_FORK.release, after_in_child=_in_child)


class Pool(Generic[T]):
    """Idle connections, used by any thread. The newest is taken first, and the number of connections has no limit.

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
        """Return an idle connection, or a new connection."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._make()

    def give(self, item: T) -> None:
        """Put back a connection that works. Callers drop a broken connection."""
        self._idle.append(item)

    def drain(self) -> list[T]:
        """Remove and return all idle connections."""
        idle = []
        while self._idle:
            idle.append(self._idle.pop())
        return idle

    def after_fork(self) -> deque[T]:
        old, self._idle = self._idle, deque()
        return old
