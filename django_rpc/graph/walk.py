"""The walk through nested containers: `iter_leaves` reads them, `map_leaves` rebuilds them.

A leaf is any value that is no container. `DATA` are the containers of Python. `ARGUMENTS` are these and the expressions
and conditions in the arguments of a node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from django_rpc.graph.values import ATOMS, Condition, Expr

__all__ = ["ARGUMENTS", "DATA", "children", "iter_leaves", "map_children", "map_leaves", "objects_in"]

DATA: frozenset[type] = frozenset({list, tuple, set, frozenset, dict, slice})
ARGUMENTS = DATA | {Expr, Condition}
_CONTAINERS = (list, tuple, set, frozenset, dict)


def children(value: Any) -> Iterable[Any]:
    """Return the direct items of a container; the keys and the values of a dict.

    >>> list(children({"a": [1]})), list(children(Expr("Count", ("id",), {"distinct": True})))
    (['a', [1]], ['id', True])
    """
    kind = type(value)
    if kind is slice:
        return value.start, value.stop, value.step
    if kind is Expr:
        return chain(value.args, value.kwargs.values())
    if kind is Condition:
        items: tuple[Any, ...] = value.children
        return items
    return chain.from_iterable(value.items()) if isinstance(value, dict) else value


def map_children(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a new container of the same type, with the result of ``change`` for each direct item.

    A named tuple keeps its type. An instance of another subclass of a container becomes a plain container.

    >>> map_children((1, 2), str), map_children({"a": 1}, str)
    (('1', '2'), {'a': '1'})
    """
    kind: Any = type(value)
    if isinstance(value, dict):
        return {change(key): change(item) for key, item in value.items()}
    if kind is slice:
        return slice(change(value.start), change(value.stop), change(value.step))
    if kind is Expr:
        kwargs = {key: change(item) for key, item in value.kwargs.items()}
        return Expr(value.name, tuple([change(item) for item in value.args]), kwargs)
    if kind is Condition:
        return Condition(tuple([change(item) for item in value.children]), value.connector, value.negated)
    items = [change(item) for item in value]
    if hasattr(kind, "_fields"):
        return tuple.__new__(kind, items)
    return kind(items) if kind in DATA else next(base for base in _CONTAINERS if isinstance(value, base))(items)


def map_leaves(value: Any, change: Callable[[Any], Any], containers: frozenset[type] = ARGUMENTS) -> Any:
    """Return ``value`` with the result of ``change`` for each leaf that is no atom.

    Atoms stay as they are. A container without a changed leaf is returned unchanged.

    >>> map_leaves({"a": [1, slice(object())]}, lambda leaf: "leaf")
    {'a': [1, slice(None, 'leaf', None)]}
    """
    kind = type(value)
    if kind in ATOMS:
        return value
    if kind not in containers and not (isinstance(value, tuple) and hasattr(kind, "_fields")):
        return change(value)
    if (kind is list or kind is tuple) and ATOMS.issuperset(map(type, value)):
        return value
    is_changed = False

    def walked(item: Any) -> Any:
        nonlocal is_changed
        if type(item) in ATOMS:
            return item
        new = map_leaves(item, change, containers)
        is_changed = is_changed or new is not item
        return new

    copy = map_children(value, walked)
    return copy if is_changed else value


def iter_leaves(value: Any) -> Iterator[Any]:
    """Yield the leaves of ``value`` in their order, at any depth, atoms included.

    A container that several others hold is read once, because a graph can nest it exponentially often.

    >>> list(iter_leaves([1, {"a": (2, Condition((("b", 3),)))}]))
    [1, 'a', 2, 'b', 3]
    """
    leaves: list[Any] = []
    _collect(value, leaves.append, frozenset(), set())
    return iter(leaves)


def objects_in(value: Any) -> list[Any]:
    """Return the leaves of ``value`` that are no atoms.

    >>> objects_in([1, {"a": (2, ...)}])
    [Ellipsis]
    """
    objects: list[Any] = []
    _collect(value, objects.append, ATOMS, set())
    return objects


def _collect(value: Any, add: Callable[[Any], object], skipped: frozenset[type], searched: set[int]) -> None:
    kind = type(value)
    if kind in skipped:
        return
    if kind not in ARGUMENTS and not isinstance(value, _CONTAINERS):
        add(value)
        return
    if id(value) in searched:
        return
    searched.add(id(value))
    for item in children(value):
        if type(item) not in skipped:
            _collect(item, add, skipped, searched)
