"""Django's ``atomic()`` on a service: each operation is atomic there, and the client can roll nothing back.

Django's code and the user's code enter such blocks. Neither sends a message. The connection notes the writes that are
sent in a block. If a block of the user is rolled back after a write, it raises `CannotRollBack`, which lists the writes
that remain. A block of Django's code lets its exception pass, with the same list as a note, since other code of Django
handles the exception.

``django_rpc.atomic()`` is the block that is one transaction.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from django.db.transaction import TransactionManagementError

from django_rpc.backend.django_compat import is_of_test_case
from django_rpc.client.hooks import MessageEnd
from django_rpc.client.unit_of_work import Unit, unit_of
from django_rpc.client.write_log import WriteMessage
from django_rpc.graph.nodes import Node, is_own_module

__all__ = ["CannotRollBack", "Transactions"]

logger = logging.getLogger("django_rpc.backend")
#: Largest number of writes that an error lists.
_LISTED = 20


class CannotRollBack(TransactionManagementError):
    """A block on a service wrote, and is to be rolled back. ``done`` has the operations that remain, as text."""

    done: tuple[str, ...] = ()


class _Start(NamedTuple):
    """State at the start of a block or savepoint.

    ``sent`` is the number of writes that were sent before it, ``unit`` and ``mark`` are the open block of
    ``django_rpc.atomic()`` and its position, ``handled`` is the exception that an ``except`` clause around it handles.
    """

    sent: int = 0
    unit: Unit | None = None
    mark: tuple[int, int] = (0, 0)
    handled: BaseException | None = None


class Transactions:
    """Methods of a connection that Django's ``Atomic`` calls; a part of the `DatabaseWrapper`.

    ``Atomic.__exit__`` rolls back a block that failed, and catches an error of this rollback. It handles the error by
    `close` for the outermost block, and by setting `needs_rollback` for an inner block. Both raise the error again.
    """

    alias: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._sent: list[WriteMessage] = []
        self._outermost = _Start()
        self._savepoints: dict[str, _Start] = {}
        self._refusal: CannotRollBack | None = None
        super().__init__(*args, **kwargs)

    def note_writes(self, nodes: tuple[Node, ...]) -> MessageEnd | None:
        """Note a message before it is sent, if it writes within a block; return the function for its end."""
        # A mixin of DatabaseWrapper, which has the attribute.
        if not self.in_atomic_block or not any(node.writes for node in nodes):  # type: ignore[attr-defined]
            return None
        written = WriteMessage(nodes)
        self._sent.append(written)
        return written.ended

    # The start and the end of blocks

    def set_autocommit(self, autocommit: bool, *args: Any, **kwargs: Any) -> None:
        """Forget the noted writes: an outermost block begins or has ended."""
        self._sent, self._savepoints = [], {}
        self._outermost = _Start(handled=sys.exc_info()[1])
        super().set_autocommit(autocommit, *args, **kwargs)  # type: ignore[misc]  # a mixin

    def rollback(self) -> None:
        super().rollback()  # type: ignore[misc]  # a mixin
        self._refuse_rollback(self._outermost)

    def savepoint_rollback(self, sid: str) -> None:
        super().savepoint_rollback(sid)  # type: ignore[misc]  # a mixin
        self._refuse_rollback(self._savepoints.get(sid, _Start()))

    @property
    def needs_rollback(self) -> bool:
        return self._needs_rollback

    @needs_rollback.setter
    def needs_rollback(self, broken: bool) -> None:
        if broken:
            self._raise_refusal()
            # A mixin of DatabaseWrapper, which has the attribute.
            if self.atomic_blocks and is_of_test_case(self.atomic_blocks[-1]):  # type: ignore[attr-defined]
                self._sent = []  # Django always rolls back the block of a test
        self._needs_rollback = broken

    def close(self) -> None:
        super().close()  # type: ignore[misc]  # a mixin
        self._raise_refusal()

    def _refuse_rollback(self, start: _Start) -> None:
        """Raise `CannotRollBack` if writes since ``start`` remain; for a block of Django's code, add a note instead."""
        done = [written for written in self._sent[start.sent :] if written.state != "not done"]
        if not done:
            return
        exception = sys.exc_info()[1]
        if exception is start.handled:
            exception = None
        if exception is None or (isinstance(exception, Exception) and not _is_left_by_django(exception)):
            end = "was rolled back" if exception is None else f"was left by {exception!r}"
            refusal = CannotRollBack(self._text(end, done))
            self._refusal = refusal
            refusal.done = tuple(str(written) for written in done)
            raise refusal from exception
        before = [written for written in done if written.error is not exception]  # the exception describes its message
        if before:
            exception.add_note(self._text("was left by this exception", before))

    def _raise_refusal(self) -> None:
        """Raise the error of the rollback again if ``Atomic.__exit__`` has caught it, and handles it now."""
        exception = sys.exc_info()[1]
        is_refusal = exception is self._refusal
        self._refusal = None
        if exception is not None and is_refusal:
            raise exception

    def _text(self, end: str, done: list[WriteMessage]) -> str:
        listed = [str(written) for written in done[:_LISTED]]
        more = [f"... {len(done)} in all"] if len(done) > _LISTED else []
        return (
            f"This atomic() block on {self.alias!r} wrote, and then {end}. The service cannot take back what it has "
            f"done, since each operation is a transaction of its own there. Done already: {'; '.join([*listed, *more])}"
            f". All or nothing is: with django_rpc.atomic({self.alias!r}): ..."
        )

    def on_commit(self, func: Callable[[], object], robust: bool = False) -> None:
        """Call ``func`` after the commit, as Django does; within ``async with django_rpc.atomic()``, after its end."""
        unit = unit_of(self.alias)
        if unit is None or self.in_atomic_block:  # type: ignore[attr-defined]  # a mixin of DatabaseWrapper
            super().on_commit(func, robust)  # type: ignore[misc]  # a mixin
        elif not callable(func):
            raise TypeError("on_commit()'s callback must be a callable.")
        else:
            unit.after(partial(_called_robustly, func) if robust else func)

    # Replacements of SQL statements. They send nothing.

    def _savepoint(self, sid: str) -> None:
        unit = unit_of(self.alias)
        mark = (0, 0) if unit is None else unit.mark()
        self._savepoints[sid] = _Start(len(self._sent), unit, mark, sys.exc_info()[1])

    def _savepoint_rollback(self, sid: str) -> None:
        """Drop the operations that a block of ``django_rpc.atomic()`` has collected since, and not sent."""
        start = self._savepoints.get(sid, _Start())
        if start.unit is not None and start.unit is unit_of(self.alias):
            start.unit.drop(start.mark)

    def _savepoint_commit(self, sid: str) -> None:
        return None

    def _start_transaction_under_autocommit(self) -> None:
        """Replace BEGIN, which Django would log as a query."""
        return None

    def _set_autocommit(self, autocommit: bool) -> None:
        return None

    def _commit(self) -> None:
        return None

    def _rollback(self) -> None:
        return None

    def validate_no_broken_transaction(self) -> None:
        return None


def _called_robustly(func: Callable[[], object]) -> None:
    """Call ``func``, and log its exception, as Django does for ``on_commit(..., robust=True)``."""
    try:
        func()
    except Exception:
        logger.exception("Error calling %s in on_commit().", getattr(func, "__qualname__", func))


def _is_left_by_django(exception: Exception) -> bool:
    """Return True if the ``with`` statement that ``exception`` leaves is in the code of Django or of this package.

    The traceback of the exception begins there. For a decorated function, it begins in ``contextlib``.
    """
    frames = (frame for frame, _ in traceback.walk_tb(exception.__traceback__))
    modules = (frame.f_globals.get("__name__", "") for frame in frames)
    return is_own_module(next((module for module in modules if module != "contextlib"), ""))
