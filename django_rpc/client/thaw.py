"""Turns decoded values into the caller's: every `Record`, `Table` and `NamedRow`, at any depth of containers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

from django_rpc.client.messages import Results
from django_rpc.graph.values import ATOMS, NamedRow, Record, RowSet, Table
from django_rpc.wire.messages import ErrorReport

__all__ = ["Missing", "had", "thaw"]


class Missing:
    """In place of an output that the service could not have: ``error`` is for those who ask for it."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


def had(values: list[Any]) -> list[Any]:
    """``values``, none of which is missing; raises the error of the first that is."""
    for value in values:
        if type(value) is Missing:
            raise value.error
    return values


def thaw(value: Any, results: Results, failure: Callable[[ErrorReport], Exception] | None = None) -> Any:
    """``value`` with its records made into objects by ``results``; containers without any stay as they are.

    ``failure`` makes the exceptions of those elements of a map that failed.

    >>> from django_rpc.client.messages import PlainResults
    >>> thaw({"a": [1, 2]}, PlainResults())
    {'a': [1, 2]}
    """
    kind = type(value)
    if kind in ATOMS or kind is RowSet:
        return value
    if kind is Record:
        return results.record(value)
    if kind is Table:
        return results.table(value)
    if kind is list:
        return value if _all_plain(value) else [thaw(item, results, failure) for item in value]
    if kind is tuple:
        return value if ATOMS.issuperset(map(type, value)) else tuple([thaw(item, results, failure) for item in value])
    if kind is dict:
        if ATOMS.issuperset(map(type, value.values())):
            return value
        return {key: thaw(item, results, failure) for key, item in value.items()}
    if kind is NamedRow:
        return results.row(value.fields, [thaw(item, results, failure) for item in value.values])
    if kind is ErrorReport:
        return failure(value) if failure is not None else results.error(value, None)
    return value  # sets and slices hold no records


def _all_plain(values: list[Any]) -> bool:
    """Whether a list holds plain values, or is a table of them (``values_list()``): the long lists, at C speed."""
    kinds = set(map(type, values))
    if kinds == {tuple}:
        return ATOMS.issuperset(map(type, chain.from_iterable(values)))
    if kinds == {dict}:
        return ATOMS.issuperset(map(type, chain.from_iterable(row.values() for row in values)))
    return kinds <= ATOMS
