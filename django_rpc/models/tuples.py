"""Comparisons of several columns at once, as conditions on each: Django's own for composite keys and relations."""

from __future__ import annotations

from typing import Any

from django.db.models import expressions

from django_rpc.graph.values import Condition, freeze

__all__ = ["own_column", "tuple_condition"]

#: What the last columns are compared by, and those before them where they are not equal.
_ORDER = {"gt": "gt", "gte": "gt", "lt": "lt", "lte": "lt"}


def own_column(value: expressions.Col) -> str:
    """The name of a resolved column of the query's own table, as Django's sliced prefetch gives it."""
    if value.alias != value.target.model._meta.db_table:
        raise TypeError(f"The resolved column {value!r} cannot be sent to a service: write F('path') instead.")
    return str(value.target.attname)


def tuple_condition(value: Any) -> Condition:
    """``(a, b) IN ((1, 2), ...)`` and its like, for columns of the query: ``a`` is 1 and ``b`` is 2, or ...

    Raises TypeError for columns that are no paths, and for what is no list of values.
    """
    names = [_path(source) for source in _sources(value.lhs)]
    if value.lookup_name == "isnull":
        return Condition(tuple([(f"{name}__isnull", value.rhs) for name in names]), "AND" if value.rhs else "OR")
    if value.lookup_name != "in":
        return _compared(names, _row(value.rhs), value.lookup_name)
    if not isinstance(value.rhs, list | tuple | set | frozenset):
        raise TypeError("A tuple of columns can be looked up among values, and not in a query: give it list(query).")
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
