"""Number of rows that a request wrote, by model, as the databases report it for each statement.

The numbers include rows that the service's code wrote, and exclude rows that were rolled back.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

__all__ = ["RowCounts"]

_WRITE = re.compile(
    r"\s*(?:INSERT(?:\s+OR\s+\w+|\s+IGNORE)?\s+INTO|REPLACE\s+INTO|UPDATE|DELETE\s+FROM)\s+[`\"]?(?P<table>[^\s`\"(]+)",
    re.IGNORECASE,
)
_SAVEPOINT, _ROLLBACK = "SAVEPOINT ", "ROLLBACK TO SAVEPOINT "


class RowCounts:
    """Counts written rows; `note` receives each statement after its execution."""

    __slots__ = ("_counts", "_last", "_marks")

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)  # by alias and table
        self._marks: dict[tuple[str, str], Counter[str]] = {}
        #: The last write. SQLite reports the rows of RETURNING only after they have been fetched.
        self._last: tuple[str, str, Any, int] | None = None

    def note(self, sql: str, context: dict[str, Any]) -> None:
        """Count the rows of a statement; restore the counts of a savepoint if the statement rolls back to it."""
        self._count_last()
        alias = context["connection"].alias
        if sql.startswith(_SAVEPOINT):
            self._marks[alias, sql.removeprefix(_SAVEPOINT)] = self._counts[alias].copy()
        elif sql.startswith(_ROLLBACK):
            self._counts[alias] = self._marks.get((alias, sql.removeprefix(_ROLLBACK)), Counter()).copy()
        elif match := _WRITE.match(sql):
            cursor = context["cursor"]
            self._last = alias, match["table"], cursor, cursor.rowcount

    def _count_last(self) -> None:
        if self._last is not None:
            alias, table, cursor, reported = self._last
            self._counts[alias][table] += max(reported, cursor.rowcount, 0)
            self._last = None

    def __bool__(self) -> bool:
        self._count_last()
        return bool(self._counts)

    def by_model(self, labels: Mapping[str, str]) -> dict[str, int]:
        """Return the numbers by label; ``labels`` maps tables to labels. A table with an empty label is left out."""
        self._count_last()
        numbers: Counter[str] = Counter()
        for counts in self._counts.values():
            for table, number in counts.items():
                label = labels.get(table, table)
                if number and label:
                    numbers[label] += number
        return dict(sorted(numbers.items()))
