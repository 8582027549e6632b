"""Capture of the arguments of local functions: Delayed, querysets and futures at any depth become nodes.

`values.freeze` converts arguments for the wire. `capture` leaves every other Python object unchanged.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import importlib
from abc import ABC
from collections import deque
from collections.abc import Iterable
from typing import Any

from django_rpc.graph.delayed.local_functions import Finish, MethodOf
from django_rpc.graph.nodes import Literal, LocalCall, Node, Opaque, callsite, nodes_in
from django_rpc.graph.values import ATOMS, freeze
from django_rpc.graph.walk import DATA, children, map_children

__all__ = [
    "ForeignCollection",
    "capture",
    "computed_by_dask",
    "is_sent",
    "members_of",
    "rebuilt",
    "value_node",
    "waited_for",
]

#: Iterators over containers. They are read immediately and once, as `dask.delayed` does.
_ITERATORS: dict[type, type] = {type(iter(kind())): kind for kind in (list, tuple, set)}
_CONTAINERS = frozenset({list, tuple, set, frozenset})
#: Base classes, and the plain container for the members of an instance of a subclass.
_PLAIN: dict[type, type] = {dict: dict, list: list, deque: list, tuple: tuple, set: set, frozenset: frozenset}


def capture(value: Any) -> Any:
    """Copy ``value`` with a node in place of each Delayed, queryset and future.

    A dataclass, a named tuple or an instance of a subclass of a container that holds a node becomes a node that builds
    it later.

    >>> capture([1, {"a": {2}}])
    [1, {'a': {2}}]

    Raises TypeError for a dataclass that its fields cannot build, and ValueError for a dataclass with other fields
    (``init=False``).
    """
    kind = type(value)
    if kind in ATOMS:
        return value
    if hasattr(kind, "__rpc_node__") or isinstance(value, Node):
        return _node_of(value)
    if issubclass(kind, ForeignCollection):
        return computed_by_dask(value)
    if kind in _ITERATORS:
        kind, value = _ITERATORS[kind], _ITERATORS[kind](value)
    if kind in DATA:
        return map_children(value, lambda item: item if type(item) in ATOMS else capture(item))
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        items = tuple([capture(item) for item in value])
        return LocalCall(kind, items, pure=True, where=callsite()) if _holds_nodes(items) else value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _dataclass(value)
    members = members_of(value)
    if members is not None:
        captured = capture(members)
        if _holds_nodes([captured]):
            return LocalCall(functools.partial(rebuilt, value), (captured,), where=callsite())
    return value


def members_of(value: Any) -> Any:
    """Return the members of an instance of a subclass of Python's containers in a plain container; otherwise None.

    >>> from collections import OrderedDict
    >>> members_of(OrderedDict(a=1)), members_of("text")
    ({'a': 1}, None)
    """
    return next((plain(value) for base, plain in _PLAIN.items() if isinstance(value, base)), None)


def rebuilt(value: Any, members: Any) -> Any:
    """Return a copy of a container with other members; the copy has the class and the attributes of ``value``."""
    for base in (tuple, frozenset):
        if isinstance(value, base):
            make: Any = base.__new__
            new = make(type(value), members)
            if hasattr(value, "__dict__"):
                vars(new).update(vars(value))
            return new
    new = copy.copy(value)
    new.clear()
    (new.update if isinstance(new, dict | set) else new.extend)(members)
    return new


def _node_of(value: Any) -> Node:
    """Return the node of a Delayed, a queryset or a future; a ``finish`` function becomes a separate node."""
    from django_rpc.graph.delayed.compute import handle

    if is_sent(value):
        return waited_for(value)
    handled = handle(value)
    assert handled is not None
    node, finish = handled.__rpc_output__()
    return node if finish is None else LocalCall(Finish(finish), (node,), pure=True, where=node.where)


class ForeignCollection(ABC):  # noqa: B024 - a test of types
    """A collection of dask (``dask.delayed``, a bag, an array). dask computes its value in the client."""

    @classmethod
    def __subclasshook__(cls, other: type) -> bool:
        return hasattr(other, "__dask_graph__") and not hasattr(other, "__rpc_node__")


@freeze.register(ForeignCollection)
def computed_by_dask(collection: Any) -> Node:
    """Return the node that lets dask compute ``collection``."""
    return LocalCall(_dask_value, (Opaque(collection, where=callsite()),), pure=True, where=callsite())


def _dask_value(collection: Any) -> Any:
    (value,) = importlib.import_module("dask").compute(collection)
    return value


def is_sent(value: Any) -> bool:
    """Return True for a future: its graph has been sent, and a write in the graph must not run twice."""
    return callable(getattr(type(value), "result", None)) and callable(getattr(type(value), "done", None))


def waited_for(future: Any) -> Node:
    """Return the node that waits for the result of a future. The graph of the future is not sent again."""
    return LocalCall(MethodOf("result"), (Opaque(future),), pure=True, where=callsite())


def _holds_nodes(values: Iterable[Any]) -> bool:
    return any(nodes_in(value) for value in values)


def _dataclass(value: Any) -> Any:
    """Return the dataclass, or a node that builds an equal dataclass if a field holds nodes."""
    kind = type(value)
    fields = [field for field in dataclasses.fields(value) if hasattr(value, field.name)]
    captured = {field.name: capture(getattr(value, field.name)) for field in fields}
    if not _holds_nodes(captured.values()):
        return value
    unmade = [field.name for field in fields if not field.init]
    if unmade:
        raise ValueError(
            f"{kind.__name__} holds values that are not computed yet, so it will be rebuilt from its fields; but "
            f"{', '.join(unmade)} was set from outside: fields with `init=False` are not supported."
        )
    try:
        dataclasses.replace(value)
    except TypeError as error:
        raise TypeError(
            f"{kind.__name__} holds values that are not computed yet, so it will be rebuilt from its fields, which its "
            "__init__ does not take: a custom __init__ is not supported."
        ) from error
    return LocalCall(kind, (), captured, pure=True, where=callsite())


def value_node(value: Any, label: str | None, pure: bool, nout: int | None, traverse: bool) -> Node:
    """Return the node of a client value. Plain data becomes a `Literal`, which may also be sent to a service."""
    captured = capture(value) if traverse else value
    if isinstance(captured, Node):
        return captured
    if label is None and nout is None and _is_plain(captured):
        return Literal(captured, where=callsite())
    return Opaque(captured, label=label, pure=pure, nout=nout, where=callsite())


def _is_plain(value: Any) -> bool:
    """Return True if ``value`` has only atoms, nodes and Python's containers, which the wire preserves."""
    kind = type(value)
    if kind in ATOMS or isinstance(value, Node):
        return True
    return (kind in _CONTAINERS or kind is dict) and all(map(_is_plain, children(value)))
