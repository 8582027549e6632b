"""A query for many keys: the client's query with a key column, and the rows of each key."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import F, QuerySet, Window
from django.db.models.functions import RowNumber
from django.db.models.lookups import GreaterThan, LessThanOrEqual

from django_rpc.graph.nodes import Method, Node
from django_rpc.server.django_compat import ModelIterable, clone, row_iterable
from django_rpc.server.lowering.key_columns import KeyColumn
from django_rpc.server.lowering.physical_read import EqualReads, NotPossible
from django_rpc.server.query.loaded_relations import Loaded, loaded_by, remember

if TYPE_CHECKING:
    from django_rpc.server.evaluate.scheduler import Scheduler

__all__ = ["KeyedQuery", "Reader", "ValueOfKey"]

#: Function from a key, and the reads with this key, to their value.
ValueOfKey = Callable[[tuple[Any, ...], EqualReads], Any]
#: Function that reads a keyed query; raises NotPossible if one statement is not possible.
Reader = Callable[["KeyedQuery"], ValueOfKey]


class KeyedQuery:
    """A query and its terminal operation, for many keys.

    - ``names``: the columns that hold the key.
    - ``joined``: the names that are annotations of the query.
    - ``unique``: True if a key has at most one row.
    - ``leaf``: True if only the reply needs the values.
    """

    def __init__(
        self,
        engine: Scheduler,
        queryset: QuerySet,
        names: tuple[str, ...],
        terminal: Node | None,
        keys: list[KeyColumn],
        leaf: bool,
    ) -> None:
        self.leaf = leaf
        self.engine, self.ev = engine, engine.ev
        self.queryset, self.names, self.terminal = queryset, names, terminal
        self.joined = [name for name in names if name in queryset.query.annotations]
        self.unique = any(key.is_unique for key in keys)
        self.args = self.ev.resolve.args(terminal.args) if isinstance(terminal, Method) else []
        self.kwargs = self.ev.resolve.kwargs(terminal.kwargs) if isinstance(terminal, Method) else {}

    # The query; its limits apply to each key

    def limits(self) -> tuple[int, int | None]:
        query = self.queryset.query
        return query.low_mark, query.high_mark

    def unlimited(self) -> QuerySet:
        queryset = clone(self.queryset)
        queryset.query.clear_limits()
        return queryset

    def limited(self, queryset: QuerySet, low: int, high: int | None) -> QuerySet:
        """Return ``queryset[low:high]`` of each key, by a window function over the rows of the key in their order."""
        if low == 0 and (high is None or (self.unique and high > 0)):
            return queryset
        query = queryset.query
        if query.distinct or query.group_by is not None or not connections[queryset.db].features.supports_over_clause:
            raise NotPossible("a slice of distinct or grouped rows")
        order = [expression for expression, _ in query.get_compiler(using=queryset.db).get_order_by()]
        window = Window(RowNumber(), partition_by=[F(name) for name in self.names], order_by=order or None)
        conditions = [GreaterThan(window, low)] if low else []
        if high is not None:
            conditions.append(LessThanOrEqual(window, high))
        return queryset.filter(*conditions)

    def unordered(self) -> QuerySet:
        """Return the query without order, limits and related rows."""
        return self.unlimited().order_by().select_related(None).prefetch_related(None)

    def plain(self) -> QuerySet:
        """Return the query without order, limits and related rows, so that it can be grouped by the key alone."""
        query = self.queryset.query
        if query.distinct or query.group_by is not None or query.combinator or query.distinct_fields:
            raise NotPossible("it counts distinct or grouped rows")
        return self.unordered()

    # Its rows

    def instances(self, queryset: QuerySet) -> dict[tuple[Any, ...], list[Any]]:
        """Return the instances of each key in their order; their records if only the reply needs them."""
        if row_iterable(queryset) is not ModelIterable:
            raise NotPossible("it selects values, and no instances")
        shape = self.ev.results.leaf_shape(queryset) if self.leaf else None
        if shape is not None:
            columns = tuple(dict.fromkeys((*shape.plain, *self.names)))
            rows = self.by_key(columns, queryset.values_list(*columns), len(shape.plain))
            return {key: [self.ev.results.record_of_row(shape, row) for row in of_key] for key, of_key in rows.items()}
        loaded = self.loaded()
        instances_by_key: dict[tuple[Any, ...], list[Any]] = {}
        for instance in self.ev.complete(queryset):
            key = tuple([getattr(instance, name) for name in self.names])
            for name in self.joined:
                del instance.__dict__[name]
            instances_by_key.setdefault(key, []).append(remember(instance, loaded))
        return instances_by_key

    def loaded(self) -> Loaded:
        loaded = loaded_by(self.queryset)
        names = tuple([name for name in loaded.names if name not in self.joined])
        return Loaded(names, loaded.relations, loaded.parents, loaded.queries)

    def by_key(self, names: tuple[str, ...], rows: Any, width: int) -> dict[tuple[Any, ...], list[Any]]:
        """Group rows by key, and return the first ``width`` columns of each row."""
        places = [names.index(name) for name in self.names]
        rows_by_key: dict[tuple[Any, ...], list[Any]] = {}
        for row in rows:
            rows_by_key.setdefault(tuple([row[place] for place in places]), []).append(row[:width])
        return rows_by_key
