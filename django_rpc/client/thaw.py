"""Turns decoded values into the caller's: every `Record` and `Table` in them, at any depth of containers."""

from __future__ import annotations

from itertools import chain
from typing import Any

from django_rpc.client.messages import Results
from django_rpc.graph.values import ATOMS, Record, RowSet, Table

__all__ = ["thaw"]


def thaw(value: Any, results: Results) -> Any:
    """``value`` with its records made into objects by ``results``; containers without any stay as they are.

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
        return value if _all_plain(value) else [thaw(item, results) for item in value]
    if kind is tuple:
        return value if ATOMS.issuperset(map(type, value)) else tuple([thaw(item, results) for item in value])
    if kind is dict:
        if ATOMS.issuperset(map(type, value.values())):
            return value
        return {key: thaw(item, results) for key, item in value.items()}
    return value  # sets and slices hold no records


def _all_plain(values: list[Any]) -> bool:
    """Whether a list holds plain values, or is a table of them (``values_list()``): the long lists, at C speed."""
    kinds = set(map(type, values))
    if kinds == {tuple}:
        return ATOMS.issuperset(map(type, chain.from_iterable(values)))
    if kinds == {dict}:
        return ATOMS.issuperset(map(type, chain.from_iterable(row.values() for row in values)))
    return kinds <= ATOMS
