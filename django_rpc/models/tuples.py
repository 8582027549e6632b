"""Comparisons of several columns, as conditions on each column. Django makes them for composite keys and relations."""

from __future__ import annotations

from typing import Any

from django.db.models import expressions

from django_rpc.graph.values import Condition, freeze

__all__ = ["own_column", "tuple_condition"]

#: Lookups for a column before the last, if it is not equal.
_ORDER = {"gt": "gt", "gte": "gt", "lt": "lt", "lte": "lt"}


def own_column(value: expressions.Col) -> str:
    """Return the name of a resolved column of the query's table, which Django uses for a sliced prefetch."""
    if value.alias != value.target.model._meta.db_table:
        raise TypeError(f"The resolved column {value!r} cannot be sent to a service: write F('path') instead.")
    return str(value.target.attname)


def tuple_condition(value: Any) -> Condition:
    """Return the condition for a comparison such as ``(a, b) IN ((1, 2), ...)``: ``a`` is 1 and ``b`` is 2, or ...

    Raise TypeError for columns that are no paths, and for values that are no list.
    """
    names = [_path(source) for source in _sources(value.lhs)]
    if value.lookup_name == "isnull":
        return Condition(tuple([(f"{name}__isnull", value.rhs) for name in names]), "AND" if value.rhs else "OR")
    if value.lookup_name != "in":
        return _compared(names, _row(value.rhs), value.lookup_name)
    if not isinstance(value.rhs, list | tuple | set | frozenset):
        raise TypeError("A tuple of columns can be compared with values, not with a query: use list(query).")
    rows = [_row(row) for row in value.rhs]
    if len(names) == 1:
        return Condition(((f"{names[0]}__in", [row[0] for row in rows]),))
    if not rows:
        return Condition(((f"{names[0]}__in", []),))
    return Condition(tuple([_compared(names, row, "exact") for row in rows]), "OR")


def _compared(names: list[str], row: list[Any], lookup: str) -> Condition:
    if lookup == "exact":
        return Condition(tuple(zip(names, row, strict=True)))
    arms: list[Any] = []
    for last in range(len(names)):
        equal = list(zip(names[:last], row[:last], strict=True))
        sign = lookup if last == len(names) - 1 else _ORDER[lookup]
        arms.append(Condition((*equal, (f"{names[last]}__{sign}", row[last]))))
    return Condition(tuple(arms), "OR")


def _sources(side: Any) -> list[Any]:
    return list(side.get_cols() if hasattr(side, "get_cols") else side.get_source_expressions())


def _path(source: Any) -> str:
    if isinstance(source, expressions.Col):
        return own_column(source)
    if type(source) is expressions.F:
        return str(source.name)
    raise TypeError(f"{source!r} cannot be a part of a tuple that is sent to a service: only fields can.")


def _row(values: Any) -> list[Any]:
    values = values.get_source_expressions() if hasattr(values, "get_source_expressions") else values
    return [freeze(value) for value in (values if isinstance(values, tuple | list) else (values,))]
