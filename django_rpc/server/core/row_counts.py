"""How many rows a request wrote, by model, as the databases count them: whoever wrote them, and as far as it stands."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any

from django.apps import apps

from django_rpc.server.ledger.ledger import APP

__all__ = ["RowCounts"]

_WRITE = re.compile(
    r"\s*(?:INSERT(?:\s+OR\s+\w+|\s+IGNORE)?\s+INTO|REPLACE\s+INTO|UPDATE|DELETE\s+FROM)\s+[`\"]?(?P<table>[^\s`\"(]+)",
    re.IGNORECASE,
)
_SAVE, _BACK = "SAVEPOINT ", "ROLLBACK TO SAVEPOINT "


class RowCounts:
    """Told each statement after it has run; rows behind a savepoint that was rolled back are not there."""

    __slots__ = ("_counts", "_last", "_marks")

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)  # by alias and table
        self._marks: dict[tuple[str, str], Counter[str]] = {}
        #: A statement whose rows may not be counted before they have been fetched (SQLite's RETURNING).
        self._last: tuple[str, str, Any, int] | None = None

    def note(self, sql: str, context: dict[str, Any]) -> None:
        """A statement has run."""
        self._settle()
        alias = context["connection"].alias
        if sql.startswith(_SAVE):
            self._marks[alias, sql.removeprefix(_SAVE)] = self._counts[alias].copy()
        elif sql.startswith(_BACK):
            self._counts[alias] = self._marks.get((alias, sql.removeprefix(_BACK)), Counter()).copy()
        elif found := _WRITE.match(sql):
            cursor = context["cursor"]
            self._last = alias, found["table"], cursor, cursor.rowcount

    def _settle(self) -> None:
        if self._last is not None:
            alias, table, cursor, told = self._last
            self._counts[alias][table] += max(told, cursor.rowcount, 0)
            self._last = None

    def by_model(self) -> dict[str, int]:
        """Rows by the labels of the models, by the table where no model has it; without the ledger's own."""
        self._settle()
        if not self._counts:  # most messages write nothing, and projects have hundreds of models
            return {}
        known = {model._meta.db_table: model._meta for model in apps.get_models(include_auto_created=True)}
        found: Counter[str] = Counter()
        for counts in self._counts.values():
            for table, number in counts.items():
                opts = known.get(table)
                if number and (opts is None or opts.app_config.name != APP):
                    found[table if opts is None else opts.label] += number
        return dict(sorted(found.items()))
