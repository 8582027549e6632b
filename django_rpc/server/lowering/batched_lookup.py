"""Physical read ``batched lookup``: rows of many keys by one statement, ``get(pk=1)``, ``get(pk=2)`` as ``pk__in``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django_rpc.graph.values import RowSet
from django_rpc.server.django_compat import (
    FlatValuesListIterable,
    ValuesIterable,
    ValuesListIterable,
    row_iterable,
    selects_columns,
)
from django_rpc.server.evaluate.environment import Failure
from django_rpc.server.evaluate.rows import has_computed, read_rows, selected_names
from django_rpc.server.lowering.keyed_query import KeyedQuery, ValueOfKey
from django_rpc.server.lowering.keyed_read import KeyedRead
from django_rpc.server.lowering.physical_read import EqualReads, NotPossible
from django_rpc.server.results import Instances

__all__ = ["BatchedLookup", "read_list", "read_rows_of_columns"]

#: ``get()`` reports the number of rows up to this limit, as in Django.
_GET_LIMIT = 21


def _get(query: KeyedQuery) -> ValueOfKey:
    queryset = query.queryset
    if queryset.query.is_sliced or queryset.query.distinct or queryset.query.combinator:
        raise NotPossible("get() of sliced or distinct rows")
    model = queryset.model
    instances_by_key = query.instances(query.limited(queryset.order_by(), 0, _GET_LIMIT))

    def value(key: tuple[Any, ...], reads: EqualReads) -> Any:
        rows = instances_by_key.get(key, ())
        if len(rows) == 1:
            return rows[0]
        position = query.engine.place[reads.binding[0]]
        name = model._meta.object_name
        if not rows:
            return Failure(model.DoesNotExist(f"{name} matching query does not exist."), position)
        number = len(rows) if len(rows) < _GET_LIMIT else f"more than {_GET_LIMIT - 1}"
        text = f"get() returned more than one {name} -- it returned {number}!"
        return Failure(model.MultipleObjectsReturned(text), position)

    return value


def read_rows_of_columns(query: KeyedQuery) -> ValueOfKey:
    """Read the columns of a ``Rows`` node, for each key."""
    columns: tuple[str, ...] = query.terminal.columns  # type: ignore[union-attr]  # the kind of the node has it
    if selects_columns(query.queryset):
        raise NotPossible("it reads the rows of values()")
    if has_computed(query.ev, query.queryset, columns):
        raise NotPossible("a column is computed by the service")
    queryset = query.limited(query.unlimited(), *query.limits())
    names = tuple(dict.fromkeys((*columns, *query.names)))
    rows_by_key = query.by_key(names, read_rows(queryset, names), len(columns))
    return lambda key, reads: RowSet(columns, rows_by_key.get(key, []))


def read_list(query: KeyedQuery) -> ValueOfKey:
    """Read all rows of the query, for each key."""
    queryset = query.queryset
    if queryset.query.combinator:
        raise NotPossible("it combines several queries")
    if selects_columns(queryset):
        return _values(query)
    model, loaded = queryset.model, query.loaded()
    instances_by_key = query.instances(query.limited(query.unlimited(), *query.limits()))
    return lambda key, reads: Instances(instances_by_key.get(key, ()), model, loaded)


#: Constructors of the rows of values() and values_list(), from their names and a tuple of values.
_FORMS: dict[Any, Callable[[tuple[str, ...], tuple[Any, ...]], Any]] = {
    ValuesIterable: lambda names, row: dict(zip(names, row, strict=True)),
    ValuesListIterable: lambda names, row: row,
    FlatValuesListIterable: lambda names, row: row[0],
}


def _values(query: KeyedQuery) -> ValueOfKey:
    queryset = query.queryset
    form = _FORMS.get(row_iterable(queryset))
    if form is None or queryset.query.group_by is not None:
        raise NotPossible("it groups, or makes named tuples")
    names = tuple(name for name in selected_names(queryset.query) if name not in query.joined)
    limited = query.limited(query.unlimited(), *query.limits())
    limited.query.append_annotation_mask(query.joined)  # values() has masked them
    columns = tuple(dict.fromkeys((*names, *query.names)))
    rows_by_key = query.by_key(columns, limited.values_list(*columns), len(names))
    return lambda key, reads: [form(names, row) for row in rows_by_key.get(key, ())]


class BatchedLookup(KeyedRead):
    """One statement with the keys of all reads in a list."""

    name = "batched lookup"
    readers = {"get": _get, "rows": read_rows_of_columns, "list": read_list}
