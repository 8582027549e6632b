"""Django's ``atomic()`` on a service: each operation is atomic there, and nothing is rolled back from here.

Django enters blocks by itself all over its ORM, and users enter their own.  Nothing is sent for either.  What a block
wrote is noted; a user's own block that is left in failure after it wrote raises `CannotRollBack`, which says what
stays.  A block of Django's own lets the exception pass, with the same as a note: code of Django's waits for it.

``django_rpc.atomic()`` is the block that is one transaction.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import Any

from django.db.transaction import TransactionManagementError

from django_rpc.client.unit_of_work import Unit, unit_of
from django_rpc.client.write_log import Written
from django_rpc.graph.nodes import Node, is_own_module

__all__ = ["CannotRollBack", "Transactions"]

_NO_SAVEPOINT: tuple[int, Unit | None, tuple[int, int]] = (0, None, (0, 0))
logger = logging.getLogger("django_rpc.backend")
#: Of what was written so many are named.
_NAMED = 20


class CannotRollBack(TransactionManagementError):
    """A block on a service wrote, and should be rolled back; ``done`` are the operations that stay, as text."""

    done: tuple[str, ...] = ()


class _Blocks(list[Any]):
    """``connection.atomic_blocks``: Django adds each block that is entered, and first takes out one that is left."""

    def __init__(self, connection: Transactions) -> None:
        super().__init__()
        self._connection = connection

    def append(self, block: Any) -> None:
        super().append(block)
        self._connection.block_entered()

    def pop(self, *args: Any) -> Any:
        block = super().pop(*args)
        self._connection.block_left(block, sys._getframe(1))
        return block


class Transactions:
    """What Django's ``Atomic`` asks of a connection; a part of the `DatabaseWrapper`.

    ``Atomic.__exit__`` catches what a failing ROLLBACK raises, so the error is raised at its last step: for the
    outermost block when it turns autocommit on again, for an inner one when it marks the block around it as broken.
    """

    alias: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._written: list[Written] = []
        self._marks: list[int] = []  # how much was written when each of the open blocks was entered
        # And when each savepoint was made, with what was collected then.
        self._savepoints: dict[str, tuple[int, Unit | None, tuple[int, int]]] = {}
        self._unsaid: CannotRollBack | None = None
        super().__init__(*args, **kwargs)

    def note_writes(self, nodes: Sequence[Node]) -> Callable[[Exception | None], object]:
        """A message that writes is about to be sent; what is returned is told how it ended."""
        written = Written(nodes)
        if self._marks:
            self._written.append(written)
        return written.ended

    # The blocks, as Django enters and leaves them

    @property
    def atomic_blocks(self) -> list[Any]:
        return self._blocks

    @atomic_blocks.setter
    def atomic_blocks(self, blocks: list[Any]) -> None:
        """Set to an empty list by Django, with each new connection."""
        self._blocks = _Blocks(self)
        self._marks = []
        self._savepoints = {}
        self._written = []

    def block_entered(self) -> None:
        self._marks.append(len(self._written))

    def block_left(self, block: Any, leaving: FrameType) -> None:
        """``leaving`` is ``Atomic.__exit__``, which knows of an exception.

        A block of Django's ``TestCase`` is always rolled back.  What it wrote is the test's matter, not the next one's.
        """
        mark = self._marks.pop()
        if getattr(block, "_from_testcase", False):
            del self._written[mark:]
        done = self._stays(mark)
        if not self._marks:
            self._written = []
            self._savepoints = {}
        exception = leaving.f_locals.get("exc_value")
        if not done or (exception is None and not self.needs_rollback):
            return
        if _is_users(leaving.f_back) and (exception is None or isinstance(exception, Exception)):
            cause = "rolled back" if exception is None else f"left by {exception!r}"
            self._unsaid = self._error(f"This atomic() block on {self.alias!r} wrote, and then was {cause}.", done)
            self._unsaid.__cause__ = exception
        elif exception is not None:
            exception.add_note(self._text(f"An atomic() block on {self.alias!r} was left.", done))

    @property
    def needs_rollback(self) -> bool:
        return self._needs_rollback

    @needs_rollback.setter
    def needs_rollback(self, broken: bool) -> None:
        if broken:
            self._say()
        self._needs_rollback = broken

    def set_autocommit(self, autocommit: bool, *args: Any, **kwargs: Any) -> None:
        super().set_autocommit(autocommit, *args, **kwargs)  # type: ignore[misc]
        self._say()

    def savepoint_rollback(self, sid: str) -> None:
        super().savepoint_rollback(sid)  # type: ignore[misc]
        done = self._stays(self._savepoints.get(sid, _NO_SAVEPOINT)[0])
        if done:
            raise self._error(f"A savepoint on {self.alias!r} cannot be rolled back to.", done)

    def on_commit(self, func: Callable[[], object], robust: bool = False) -> None:
        """As Django's; a block of ``async with django_rpc.atomic()`` is of no connection, and calls when it is done."""
        unit = unit_of(self.alias)
        if unit is None or self.in_atomic_block:  # type: ignore[attr-defined]
            super().on_commit(func, robust)  # type: ignore[misc]
        elif not callable(func):
            raise TypeError("on_commit()'s callback must be a callable.")
        else:
            unit.after(partial(_called_robustly, func) if robust else func)

    def _say(self) -> None:
        error, self._unsaid = self._unsaid, None
        if error is not None:
            raise error

    def _stays(self, mark: int) -> list[Written]:
        return [written for written in self._written[mark:] if written.state != "not done"]

    def _error(self, text: str, done: list[Written]) -> CannotRollBack:
        error = CannotRollBack(self._text(text, done))
        error.done = tuple(str(written) for written in done)
        return error

    def _text(self, text: str, done: list[Written]) -> str:
        named = [str(written) for written in done[:_NAMED]]
        more = [f"... {len(done)} in all"] if len(done) > _NAMED else []
        return (
            f"{text} The service cannot take back what it has done, since each operation is a transaction of its own "
            f"there. Done already: {'; '.join([*named, *more])}. "
            f"All or nothing is: with django_rpc.atomic({self.alias!r}): ..."
        )

    # In place of statements: nothing is sent

    def _savepoint(self, sid: str) -> None:
        unit = unit_of(self.alias)
        self._savepoints[sid] = len(self._written), unit, (0, 0) if unit is None else unit.mark()

    def _savepoint_rollback(self, sid: str) -> None:
        """What a block of ``django_rpc.atomic()`` has collected since goes: it was not sent."""
        _, unit, mark = self._savepoints.get(sid, _NO_SAVEPOINT)
        if unit is not None and unit is unit_of(self.alias):
            unit.drop(mark)

    def _savepoint_commit(self, sid: str) -> None:
        return None

    def _start_transaction_under_autocommit(self) -> None:
        """In place of BEGIN, which Django would log as a query."""
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
    """As Django calls what was given to ``on_commit(..., robust=True)``."""
    try:
        func()
    except Exception:
        logger.exception("Error calling %s in on_commit().", getattr(func, "__qualname__", func))


def _is_users(frame: FrameType | None) -> bool:
    """Whether a block that ``frame`` leaves is neither Django's nor ours."""
    while frame is not None and frame.f_globals.get("__name__") == "contextlib":
        decorated = frame.f_locals.get("func")
        if decorated is not None:
            return not is_own_module(decorated.__module__)
        frame = frame.f_back
    return frame is not None and not is_own_module(frame.f_globals.get("__name__", ""))
