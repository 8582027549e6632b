"""Rows of a query as tuples of database values, without an instance.

A computed field needs its instance. The rows are read first, with the key of each instance. Complete instances are
then read by these keys, and the computed values are added to the rows.
"""

from __future__ import annotations

import functools
from operator import itemgetter
from typing import Any

from django.db.models import Model, QuerySet

from django_rpc.graph.nodes import Column, Rows
from django_rpc.graph.values import RowSet
from django_rpc.server.django_compat import select_columns, selects_columns
from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.server.evaluate.relations import Relation
from django_rpc.server.policy.client_policy import ClientFieldError, Use
from django_rpc.server.visitors import visits

__all__ = ["has_computed", "read_rows", "selected_names", "visit_column", "visit_rows"]

_BATCH = 500


@visits(Rows)
def visit_rows(ev: Evaluator, node: Rows) -> RowSet:
    value = ev.values[node.parent]
    if isinstance(value, Relation):
        value = value.queryset(ev)
    if not isinstance(value, QuerySet):
        raise TypeError(f"Rows are read from a query, not from {type(value).__name__}.")
    if not selects_columns(value):
        value = ev.as_client(value)
        computed = _computed_columns(ev, value, node.columns)
        if computed:
            return RowSet(node.columns, _with_computed(ev, value, node.columns, computed))
    return RowSet(node.columns, read_rows(value, node.columns))


@visits(Column)
def visit_column(ev: Evaluator, node: Column) -> list[Any]:
    """Return the distinct values of one column, without None, in the order of the rows."""
    rowset: RowSet = ev.values[node.parent]
    try:
        position = rowset.columns.index(node.name)
    except ValueError:
        raise ClientFieldError(f"{node.name!r} is not one of the columns {', '.join(rowset.columns)}.") from None
    values = dict.fromkeys(row[position] for row in rowset.rows)
    values.pop(None, None)
    return list(values)


def read_rows(queryset: QuerySet, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Return the rows of ``queryset`` as tuples in the order of ``columns``, before the fields' ``from_db_value``."""
    if not selects_columns(queryset):
        query = _of_own_columns(queryset, columns) or queryset.values_list(*columns).query
    else:
        query = queryset.query.chain()
    names = selected_names(query)
    if names != columns:
        pick = _picker(names, columns)
    else:
        pick = None
    query.raw_rows = True
    rows = list(query.get_compiler(using=queryset.db).results_iter(tuple_expected=True, chunked_fetch=False))
    if pick is not None:
        return [pick(row) for row in rows]
    # Columns that the query only orders or filters by may follow the selected columns.
    return rows if not rows or len(rows[0]) == len(names) else [tuple(row[: len(names)]) for row in rows]


def _of_own_columns(queryset: QuerySet, columns: tuple[str, ...]) -> Any:
    """Return ``values_list(*columns).query`` if all columns are in the table of the model, otherwise None.

    ``values_list()`` resolves each name as a path, which takes a tenth of the time of a query for one row.
    """
    query, model = queryset.query, queryset.model
    if query.annotations or query.extra or query.combinator or query.group_by is not None:
        return None
    if query.get_initial_alias() != model._meta.db_table:
        return None
    selected = _own_columns(model, columns)
    if selected is None:
        return None
    query = query.chain()
    query.select_related = False
    query.clear_deferred_loading()
    select_columns(query, selected, columns)
    return query


@functools.lru_cache(maxsize=500)
def _own_columns(model: type[Model], columns: tuple[str, ...]) -> tuple[Any, ...] | None:
    fields = {field.attname: field for field in model._meta.local_concrete_fields}
    if not fields.keys() >= set(columns):
        return None
    return tuple([fields[name].get_col(model._meta.db_table) for name in columns])


def selected_names(query: Any) -> tuple[str, ...]:
    """Return the names of the selected columns in their order; releases before 5.2 put annotations last."""
    selected = getattr(query, "selected", None)
    if selected:
        return tuple(selected)
    return (*query.extra_select, *query.values_select, *query.annotation_select)


def _picker(names: tuple[str, ...], columns: tuple[str, ...]) -> Any:
    try:
        positions = [names.index(column) for column in columns]
    except ValueError:
        missing = next(column for column in columns if column not in names)
        raise ClientFieldError(
            f"Cannot resolve keyword '{missing}' into field. Choices are: {', '.join(sorted(names))}"
        ) from None
    if len(positions) == 1:
        (position,) = positions
        return lambda row: (row[position],)
    return itemgetter(*positions)


# Computed fields


def has_computed(ev: Evaluator, queryset: QuerySet, columns: tuple[str, ...]) -> bool:
    """Return True if a column is computed from an instance."""
    return bool(_computed_columns(ev, queryset, columns))


def _computed_columns(
    ev: Evaluator, queryset: QuerySet, columns: tuple[str, ...]
) -> dict[str, tuple[type[Model], str]]:
    """Column -> (the model that computes it, the path to that model) for each computed column."""
    found: dict[str, tuple[type[Model], str]] = {}
    view = ev.policy.view(queryset.model)
    if view is not None and view.names.issuperset(columns):
        return found
    for column in columns:
        *way, name = column.split("__")
        model = queryset.model
        blocked = ev.policy.blocked((*way, name), model._meta, queryset.query, Use.READ)
        if blocked is None or blocked.position != len(way) or blocked.relation is not None:
            continue
        view = ev.policy.view(blocked.opts.model)
        if view is not None and name in view.computed:
            found[column] = (view.model, "__".join(way))
    return found


def _with_computed(
    ev: Evaluator, queryset: QuerySet, columns: tuple[str, ...], computed: dict[str, tuple[type[Model], str]]
) -> list[tuple[Any, ...]]:
    if queryset.query.distinct or queryset.query.combinator:
        raise ClientFieldError(f"{', '.join(computed)} is computed by the service: not with distinct() or union().")
    keys = {column: f"{way}__pk" if way else "pk" for column, (_, way) in computed.items()}
    plain = tuple(dict.fromkeys([*(c for c in columns if c not in computed), *keys.values()]))
    rows = read_rows(queryset, plain)
    functions: dict[str, tuple[int, dict[Any, Any]]] = {}
    for column, (model, _) in computed.items():
        position = plain.index(keys[column])
        found = {row[position] for row in rows if row[position] is not None}
        functions[column] = position, _compute(ev, model, column.rpartition("__")[2], found)
    parts = [functions.get(column) or (plain.index(column), None) for column in columns]
    return [tuple([row[at] if values is None else values.get(row[at]) for at, values in parts]) for row in rows]


def _compute(ev: Evaluator, model: type[Model], name: str, keys: set[Any]) -> dict[Any, Any]:
    compute = ev.policy.view(model).computed[name]  # type: ignore[union-attr]  # the rows were read by this view
    queryset = ev.objects(model)
    queryset.query.all_columns = True
    from_key = model._meta.pk.to_python
    ordered, values = list(keys), {}
    for start in range(0, len(ordered), _BATCH):
        batch = ordered[start : start + _BATCH]
        instances = queryset.in_bulk([from_key(key) for key in batch])
        for key in batch:
            instance = instances.get(from_key(key))
            values[key] = None if instance is None else compute(instance)
    return values
