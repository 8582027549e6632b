"""Keyed reads: physical reads with one statement for many keys; a key column separates the rows of each read.

``Order.objects.get(pk=1)``, ``get(pk=2)``, ... become ``filter(pk__in=[1, 2, ...])`` on the client's query. So the
checks of one read apply to all of them. The column of the lookup assigns each row to its read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.db import Error as DatabaseError

from django_rpc.graph.nodes import Attr, Item, Method, Rows
from django_rpc.server.lowering.common_query import CommonQuery
from django_rpc.server.lowering.key_columns import lookup_key, max_values
from django_rpc.server.lowering.keyed_query import Reader, ValueOfKey
from django_rpc.server.lowering.loop import read_separately
from django_rpc.server.lowering.physical_read import EqualReads, LogicalRead, NotPossible, is_attribute
from django_rpc.server.lowering.query_template import makes_query, obstacle

if TYPE_CHECKING:
    from django_rpc.server.evaluate.scheduler import Scheduler

__all__ = ["KeyedRead"]


class KeyedRead:
    """Base class: ``readers`` has a function for each terminal operation, which reads the values of many keys."""

    name: ClassVar[str]
    readers: ClassVar[dict[str, Reader]]

    def reader_name(self, read: LogicalRead) -> str:
        """Return the name of the terminal operation among the readers; "list" if all rows are read."""
        terminal = read.terminal
        if terminal is None or makes_query(terminal):
            return "list"
        if isinstance(terminal, Method):
            return terminal.name
        return "item" if isinstance(terminal, Item) else "rows" if isinstance(terminal, Rows) else ""

    def matches(self, read: LogicalRead) -> bool:
        return not is_attribute(read.node, read.template) and self.reader_name(read) in self.readers

    def check(self, engine: Scheduler, read: LogicalRead) -> None:
        reason = obstacle(read.template, read.differing) if read.template.operations else None
        if reason is not None:
            raise NotPossible(reason)

    def describe(self, engine: Scheduler, read: LogicalRead) -> str:
        self.check(engine, read)
        lookups = [read.template.parameters[position].lookup or "" for position in read.differing]
        if read.model is not None:
            for lookup in lookups:
                lookup_key(engine.ev, read.model, lookup)
        base = read.template.base
        keys = [*([base.name] if isinstance(base, Attr) and not lookups else []), *lookups]
        return f"one statement by {', '.join(keys)}" if keys else "one statement"

    def run(self, engine: Scheduler, read: LogicalRead) -> list[Any]:
        query = CommonQuery(engine, read, self.readers[self.reader_name(read)])
        keys = [query.key(equal) for equal in read.reads]
        values_by_index: dict[int, Any] = {}
        size = max(1, max_values(query.using) // max(1, query.width))
        for start in range(0, len(keys), size):
            members = {index: key for index, key in enumerate(keys[start : start + size], start) if key is not None}
            value_of = _read(engine, query, list(members.values()), read.reads[min(members)]) if members else None
            if value_of is not None:
                values_by_index.update({index: value_of(key, read.reads[index]) for index, key in members.items()})
        return [
            values_by_index[index] if index in values_by_index else read_separately(engine, read, equal)
            for index, equal in enumerate(read.reads)
        ]


def _read(engine: Scheduler, query: CommonQuery, keys: list[tuple[Any, ...]], first: EqualReads) -> ValueOfKey | None:
    """Return a function from key to value; None if the common statement failed, so that each read gets its error."""
    try:
        return query.read(keys, first)
    except NotPossible:
        raise
    except Exception as error:  # in a transaction, no statement can run after an error of the database
        if engine.ev.writes or (engine.ev.in_transaction and isinstance(error, DatabaseError)):
            raise
        return None
