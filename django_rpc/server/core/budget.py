"""Cost of a request during its evaluation: statements, rows and seconds, checked against the client's limits.

The first exceeded limit ends the request. If the project's code catches that error and continues, the request still
fails and writes nothing. query/statements.py counts the statements.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NoReturn

from django_rpc.errors import LimitExceeded, ResponseTooLarge, TooManyNodes
from django_rpc.server.core.limits import DEFAULT, EXCEEDED, Allowance, exceeded
from django_rpc.server.core.row_counts import RowCounts

__all__ = ["Budget"]

#: Number of SQL parts that may be compiled before the deadline is checked again.
_PARTS = 5_000
_TEXT = frozenset({str, bytes})
#: Types of cells with a length; a list is an array of PostgreSQL.
_SIZED = frozenset({str, bytes, bytearray, memoryview, list})


def _characters(cells: Sequence[Any]) -> int:
    """Return the total length of all texts in a column, including those in arrays."""
    kinds = set(map(type, cells))  # map() and sum() run at C speed
    if kinds <= _TEXT:
        return sum(map(len, cells))
    if kinds.isdisjoint(_SIZED):
        return 0
    sized = [cell for cell in cells if type(cell) in _SIZED]
    return sum(map(len, sized)) + sum([_characters(cell) for cell in sized if type(cell) is list])


class Budget:
    """Cost of one request.

    ``broken`` is the error of the first limit that the request exceeded.
    """

    __slots__ = (
        "_look",
        "broken",
        "deadline",
        "grown",
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
        self.grown = 0
        self.broken: LimitExceeded | None = None
        #: Counts the written rows; None if no observer needs the numbers.
        self.written: RowCounts | None = None
        #: Start of the evaluation by ``time.perf_counter``; a caller that started earlier sets its time here.
        self.started = time.perf_counter()
        #: End of the time by ``time.monotonic``.
        self.deadline = time.monotonic() + limits.seconds

    def check(self) -> None:
        """Raise the error of an exceeded limit; checks the deadline, too."""
        if self.broken is not None:
            raise self.broken
        if time.monotonic() >= self.deadline:
            self.exceed("seconds")

    def count_rows(self, rows: Sequence[Any]) -> None:
        """Count rows that were read; raises TooManyRows, or ResponseTooLarge for their texts."""
        self.rows += len(rows)
        if self.rows > self.limits.rows:
            self.exceed("rows")
        if rows and type(rows[0]) is tuple:
            self.count_text(rows)

    def count_text(self, rows: Sequence[Any]) -> None:
        """Count the texts of rows that were read; raises ResponseTooLarge."""
        for column in zip(*rows, strict=True):
            self.text += _characters(column)
        if self.text > self.limits.response_bytes:
            self.exceed("response_bytes")

    def count_row(self, row: tuple[Any, ...]) -> None:
        """Count one row that was read; raises TooManyRows, or ResponseTooLarge for its texts."""
        self.rows += 1
        if self.rows > self.limits.rows:
            self.exceed("rows")
        for cell in row:
            if type(cell) in _SIZED:
                self.text += len(cell) if type(cell) in _TEXT else _characters([cell])
        if self.text > self.limits.response_bytes:
            self.exceed("response_bytes")

    def count_growth(self, size: int, function: str) -> None:
        """Count the estimated size of a text that the database makes for one row; raises ResponseTooLarge.

        The texts of all columns, conditions and statements count together, because one row may have them all.
        """
        self.grown += size
        if self.grown > self.limits.response_bytes:
            raise exceeded(
                ResponseTooLarge,
                self.limits.response_bytes,
                f"The texts that {function}() and similar functions make are too large together, or the number of "
                f"{function}() is neither a literal nor a column, nor a sum, product, cast or comparison of these.",
            )

    def count_parts(self, number: int) -> None:
        """Count parts of compiled SQL; a part that is used twice counts twice. Raises TooManyNodes."""
        self.parts += number
        if self.parts > self.limits.steps:
            raise TooManyNodes(
                f"Written out, the queries of the request have more than {self.limits.steps:,} parts (limit 'steps'). "
                "Give a name to a value once, and use it less often."
            )
        if self.parts >= self._look:  # compiling SQL can take seconds before the first statement runs
            self._look = self.parts + _PARTS
            self.check()

    def exceed(self, name: str) -> NoReturn:
        """Raise the error of the limit ``name``, or of the limit that was exceeded first."""
        if self.broken is None:
            self.broken = exceeded(EXCEEDED[name], getattr(self.limits, name))
        raise self.broken
