"""Conversion of decoded values for the caller: each `Record`, `Table` and `NamedRow`, at any depth of containers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

from django_rpc.client.call_record import Results
from django_rpc.errors import BadResponse
from django_rpc.graph.nodes import Method, Node
from django_rpc.graph.values import ATOMS, NamedRow, Record, RowSet, Table
from django_rpc.graph.walk import DATA, map_leaves
from django_rpc.wire.messages import ErrorReport

__all__ = ["FailedOutput", "check_answer", "decode_result", "raise_failed"]


class FailedOutput:
    """Placeholder of an output that the service could not compute. ``error`` is raised to the caller that reads it."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


def raise_failed(values: list[Any]) -> list[Any]:
    """Return ``values``; raise the error of the first missing value."""
    for value in values:
        if type(value) is FailedOutput:
            raise value.error
    return values


def decode_result(value: Any, results: Results, failure: Callable[[ErrorReport], Exception] | None = None) -> Any:
    """Return ``value`` with its records made into objects by ``results``; containers without records stay unchanged.

    ``failure`` makes the exceptions of the elements of a map that failed.

    >>> from django_rpc.client.call_record import PlainResults
    >>> decode_result({"a": [1, 2]}, PlainResults())
    {'a': [1, 2]}
    """
    kind = type(value)
    if kind in ATOMS or kind is RowSet:
        return value
    if kind is Record:
        return results.record(value)
    if kind is Table:
        return results.table(value)
    if kind in DATA:
        is_plain = kind is list and _all_plain(value)
        return value if is_plain else map_leaves(value, lambda leaf: decode_result(leaf, results, failure), DATA)
    if kind is NamedRow:
        return results.row(value.fields, [decode_result(item, results, failure) for item in value.values])
    if kind is ErrorReport:
        return failure(value) if failure is not None else results.error(value, None)
    return value


def _all_plain(values: list[Any]) -> bool:
    """Return True for a list of plain values, or of tuples or dicts of plain values (``values_list()``).

    Such lists can be long, so C code checks them.
    """
    kinds = set(map(type, values))
    if kinds == {tuple}:
        return ATOMS.issuperset(map(type, chain.from_iterable(values)))
    if kinds == {dict}:
        return ATOMS.issuperset(map(type, chain.from_iterable(row.values() for row in values)))
    return kinds <= ATOMS


#: Types of the values of methods that return no rows.
_ANSWERS = {"count": int, "update": int, "bulk_update": int, "exists": bool, "contains": bool, "aggregate": dict}


def check_answer(node: Node, answer: Any) -> None:
    """Raise BadResponse unless ``answer`` has the type of the value of the method ``node``.

    ``if rows.exists()`` would otherwise be true for an answer of any type.
    """
    if type(node) is not Method or type(answer) is FailedOutput:
        return
    expected = _ANSWERS.get(node.name)
    if expected is not None and type(answer) is not expected:
        raise BadResponse(f"The answer of the service to {node.name}() is a {type(answer).__name__}.")
