"""What a request costs while it is answered: statements, rows and seconds, refused beyond the client's allowance.

Statements are counted where Django executes them, whoever makes them.  The first that breaks a limit ends the request,
also where the project's own code catches the error: nothing is written by a request that went on after it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError, connections

from django_rpc.server.allowance import DEFAULT, EXCEEDED, Allowance, LimitExceeded
from django_rpc.server.timeouts import Timeouts, is_timeout
from django_rpc.server.written import Written
from django_rpc.wire.errors import TooManyNodes

__all__ = ["Budget"]

#: Statements of Django's own that begin and end a part of a transaction.
_BOUNDARIES = ("SAVEPOINT ", "RELEASE SAVEPOINT ", "ROLLBACK TO SAVEPOINT ")

#: How many parts of SQL are written before the clock is looked at.
_PARTS = 5_000
_TEXT = frozenset({str, bytes})
#: Types of cells with a size; a list is an array of PostgreSQL.
_SIZED = frozenset({str, bytes, bytearray, memoryview, list})


def _characters(cells: Sequence[Any]) -> int:
    """Return the length of all texts in a column, and of those in its arrays."""
    kinds = set(map(type, cells))  # at C speed, as all of this
    if kinds <= _TEXT:
        return sum(map(len, cells))
    if kinds.isdisjoint(_SIZED):
        return 0
    sized = [cell for cell in cells if type(cell) in _SIZED]
    return sum(map(len, sized)) + sum([_characters(cell) for cell in sized if type(cell) is list])


class Budget:
    """The cost of one request; a context manager while that is evaluated.

    ``broken`` is the first limit that it broke, as an error.
    """

    __slots__ = (
        "_deadline",
        "_look",
        "_timeouts",
        "_watched",
        "broken",
        "limits",
        "parts",
        "rows",
        "started",
        "statements",
        "text",
        "written",
    )

    def __init__(self, limits: Allowance = DEFAULT) -> None:
        self.limits = limits
        self.statements = 0
        self.rows = 0
        self.parts = 0
        self._look = _PARTS
        self.text = 0
        self.broken: LimitExceeded | None = None
        #: Counts the rows that are written, where somebody wants to know.
        self.written: Written | None = None
        #: By the clock of ``time.perf_counter``; where somebody has begun before, that is set.
        self.started = time.perf_counter()
        self._deadline = time.monotonic() + limits.seconds
        self._watched: list[Any] = []
        self._timeouts = Timeouts(self._deadline)

    def check(self) -> None:
        """Raise what the request has broken, its deadline too."""
        if self.broken is not None:
            raise self.broken
        if time.monotonic() >= self._deadline:
            self._break("seconds")

    def count_rows(self, rows: Sequence[Any]) -> None:
        """Note rows that were read; raises TooManyRows, or ResponseTooLarge for their texts."""
        self.rows += len(rows)
        if self.rows > self.limits.rows:
            self._break("rows")
        if rows and type(rows[0]) is tuple:
            self.count_text(rows)

    def count_text(self, rows: Sequence[Any]) -> None:
        """Note the texts of rows that were read; raises ResponseTooLarge."""
        for column in zip(*rows, strict=True):
            self.text += _characters(column)
        if self.text > self.limits.response_bytes:
            self._break("response_bytes")

    def next_chunk(self, rows: int) -> int:
        """Return how many rows to read next, at most ``rows``: as many as fit, by the average of those read so far."""
        if not self.text:
            return rows
        average = max(self.text // max(self.rows, 1), 1)
        return max(min(rows, (self.limits.response_bytes - self.text) // average + 1), 1)

    def count_parts(self, number: int) -> None:
        """Note parts of SQL that are written, each as often as it stands there; raises TooManyNodes."""
        self.parts += number
        if self.parts > self.limits.steps:
            raise TooManyNodes(
                f"Written out, the queries of the request have more than {self.limits.steps:,} parts (limit 'steps'). "
                "Give a name to a value once, and use it less often."
            )
        if self.parts >= self._look:  # SQL is written for seconds before any of it is run
            self._look = self.parts + _PARTS
            self.check()

    def _break(self, name: str) -> None:
        if self.broken is None:
            self.broken = EXCEEDED[name](getattr(self.limits, name))
        raise self.broken

    def __enter__(self) -> Budget:
        """Count what is executed on the databases of this thread, and let them stop what takes too long."""
        self._watched = [one for one in connections.all() if hasattr(one, "execute_wrappers")]
        for connection in self._watched:
            connection.execute_wrappers.append(self._execute)
        return self

    def __exit__(self, *error: object) -> None:
        for connection in self._watched:
            connection.execute_wrappers.remove(self._execute)
        self._timeouts.release()

    def _execute(self, execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if sql.startswith(_BOUNDARIES):  # what undoes a request that broke a limit must not be refused itself
            return self._noted(execute(sql, params, many, context), sql, context)
        self.statements += 1
        if self.statements > self.limits.statements:
            self._break("statements")
        self.check()
        connection = context["connection"]
        self._timeouts.arm(connection)
        try:
            return self._noted(execute(sql, params, many, context), sql, context)
        except DatabaseError as error:
            broken = self.broken_by(error)
            if broken is error:
                raise
            raise broken from error

    def _noted(self, result: Any, sql: str, context: dict[str, Any]) -> Any:
        if self.written is not None:
            self.written.note(sql, context)
        return result

    def broken_by(self, error: BaseException) -> BaseException:
        """The limit that is behind ``error``, as an error; ``error`` itself where none is."""
        # SQLite says that it was interrupted when rows are read, long after it was asked.
        stopped = isinstance(error, DatabaseError) and (time.monotonic() >= self._deadline or is_timeout(error))
        if stopped and self.broken is None:
            self.broken = EXCEEDED["seconds"](self.limits.seconds)
        return error if self.broken is None else self.broken
