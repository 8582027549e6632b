"""Physical read ``window slice``: a part of the ordered rows of each key, by a window over the rows of the key."""

from __future__ import annotations

import functools
from typing import Any

from django.db.models import QuerySet

from django_rpc.graph.nodes import Item
from django_rpc.server.evaluate.environment import Failure
from django_rpc.server.lowering.batched_lookup import read_list, read_rows_of_columns
from django_rpc.server.lowering.keyed_query import KeyedQuery, ValueOfKey
from django_rpc.server.lowering.keyed_read import KeyedRead
from django_rpc.server.lowering.physical_read import EqualReads, LogicalRead, NotPossible

__all__ = ["WindowSlice"]


def _end(query: KeyedQuery, reverse: bool) -> ValueOfKey:
    queryset = query.queryset
    if queryset.query.is_sliced or query.args or query.kwargs:
        raise NotPossible("the first row of a slice")
    if reverse:
        queryset = queryset.reverse() if queryset.ordered else queryset.order_by("-pk")
    elif not queryset.ordered:
        queryset = queryset.order_by("pk")
    instances_by_key = query.instances(query.limited(queryset, 0, 1))
    return lambda key, reads: instances_by_key[key][0] if key in instances_by_key else None


def _by_time(query: KeyedQuery, reverse: bool) -> ValueOfKey:
    queryset = query.unlimited()
    if query.queryset.query.is_sliced or query.kwargs.keys() - {"fields"}:
        raise NotPossible("the latest row of a slice")
    fields = query.args or query.ev.policy.latest_by(queryset.model)
    if not fields:
        raise NotPossible("it names no fields")
    queryset.query.clear_ordering(force=True)
    queryset.query.add_ordering(*fields)
    queryset = queryset.reverse() if reverse else queryset
    text = f"{queryset.model._meta.object_name} matching query does not exist."
    return _first(query, query.limited(queryset, 0, 1), queryset.model.DoesNotExist(text))


def _item(query: KeyedQuery) -> ValueOfKey:
    index = query.ev.resolve(query.terminal.key)  # type: ignore[union-attr]  # the kind of the node has it
    if query.queryset.query.is_sliced or type(index) is not int or index < 0:
        raise NotPossible("an item of a slice")
    return _first(query, query.limited(query.queryset, index, index + 1), IndexError("list index out of range"))


def _first(query: KeyedQuery, queryset: QuerySet, error: Exception) -> ValueOfKey:
    """Return the first instance of each key, or a Failure with ``error`` for a key without rows."""
    instances_by_key = query.instances(queryset)

    def value(key: tuple[Any, ...], reads: EqualReads) -> Any:
        if key in instances_by_key:
            return instances_by_key[key][0]
        return Failure(type(error)(*error.args), query.engine.place[reads.binding[0]])

    return value


class WindowSlice(KeyedRead):
    """One statement; a window function numbers the rows of each key."""

    name = "window slice"
    readers = {
        "first": functools.partial(_end, reverse=False),
        "last": functools.partial(_end, reverse=True),
        "earliest": functools.partial(_by_time, reverse=False),
        "latest": functools.partial(_by_time, reverse=True),
        "item": _item,
        "rows": read_rows_of_columns,
        "list": read_list,
    }

    def matches(self, read: LogicalRead) -> bool:
        if not super().matches(read):
            return False
        return self.reader_name(read) not in ("rows", "list") or any(
            isinstance(node, Item) for node in read.template.operations
        )
