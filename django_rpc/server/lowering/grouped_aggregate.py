"""Physical read ``grouped aggregate``: counts, aggregates and ``exists()`` of many keys, grouped by the key."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.db.models import Avg, Count, Max, Min, StdDev, Sum, Value, Variance
from django.db.models.lookups import GreaterThan

from django_rpc.server.lowering.keyed_query import KeyedQuery, ValueOfKey
from django_rpc.server.lowering.keyed_read import KeyedRead
from django_rpc.server.lowering.physical_read import EqualReads, NotPossible

__all__ = ["GroupedAggregate", "empty_aggregate"]


def _count(query: KeyedQuery) -> ValueOfKey:
    low, high = query.limits()
    rows = query.plain().values_list(*query.names).annotate(rpc_count=Count("*"))
    counts = {row[:-1]: row[-1] for row in rows}

    def value(key: tuple[Any, ...], reads: EqualReads) -> int:
        number = counts.get(key, 0)
        return max(0, min(number, number if high is None else high) - low)

    return value


def _exists(query: KeyedQuery) -> ValueOfKey:
    if query.queryset.query.is_sliced:
        count = _count(query)
        return lambda key, reads: count(key, reads) > 0
    inner = query.queryset.query
    if inner.group_by is not None or inner.combinator or inner.distinct_fields:
        raise NotPossible("it reads grouped rows")
    existing_keys = set(query.unordered().values_list(*query.names).distinct())
    return lambda key, reads: key in existing_keys


def _aggregate(query: KeyedQuery) -> ValueOfKey:
    inner = query.queryset.query
    if inner.is_sliced or set(inner.annotations) - set(query.joined):
        raise NotPossible("it aggregates sliced or annotated rows")
    aggregates = {expression.default_alias: expression for expression in query.args} | query.kwargs
    base = query.plain()
    empty = empty_aggregate(base, query.args, query.kwargs)
    # Annotations must not have the names of fields, but aggregates may: so they get other names in the query.
    annotations = {f"rpc_value{number}": expression for number, expression in enumerate(aggregates.values())}
    width = len(query.names)
    rows = base.values_list(*query.names).annotate(**annotations)
    values_by_key = {row[:width]: dict(zip(aggregates, row[width:], strict=True)) for row in rows}
    return lambda key, reads: values_by_key.get(key) or dict(empty())


#: Aggregates with the result None, or 0, for no rows on each database.
_PLAIN_AGGREGATES = (Avg, Count, Max, Min, StdDev, Sum, Variance)


def empty_aggregate(queryset: Any, args: list[Any], kwargs: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Return a function that returns ``queryset.aggregate(...)`` of no rows; a wrong expression raises at once.

    Only the database knows the type of a ``default``. So if an expression has a default, the function runs one
    statement at its first call.
    """
    values = queryset.none().aggregate(*args, **kwargs)
    if all(type(item) in _PLAIN_AGGREGATES and item.default is None for item in (*args, *kwargs.values())):
        return lambda: values
    no_rows = queryset.filter(GreaterThan(Value(0), Value(1)))  # without rows, but Django does not know it
    return functools.cache(functools.partial(no_rows.aggregate, *args, **kwargs))


class GroupedAggregate(KeyedRead):
    """One statement, grouped by the key."""

    name = "grouped aggregate"
    readers = {"count": _count, "exists": _exists, "aggregate": _aggregate}
