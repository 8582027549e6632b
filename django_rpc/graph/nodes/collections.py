"""Node kinds that work on elements: a sub-graph records the operations of a lambda on one element.

``orders.map(lambda o: o.total * 2)`` is a `Map`; its body is the node of ``o.total * 2``, and ``o`` is a `Element`. The
nodes of the body are ordinary nodes of the graph. A node that depends on the param has a value for each element. Every
other node has one value, so the body may use nodes that were built outside of it.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django_rpc.graph.nodes.base import KINDS, Node

__all__ = [
    "FOLDS",
    "MAX_DEPTH",
    "Element",
    "Filter",
    "IfElse",
    "Map",
    "Reduce",
    "depends",
    "free_params",
    "scoped",
    "total",
]

#: The functions that reduce a list to one value.
FOLDS = frozenset({"sum", "min", "max", "any", "all", "len"})
#: Maximum nesting of maps: each level multiplies the number of elements.
MAX_DEPTH = 8


class Element(Node, frozen=True, eq=False):
    """The current element of a `Map` or `Filter`.

    ``depth`` is the number of lambdas around the lambda with this argument. So equal lambdas are equal nodes. The scope
    of a param is the innermost scope around it with this param.
    """

    depth: int = 0

    def __post_init__(self) -> None:
        if type(self.depth) is not int or not 0 <= self.depth < MAX_DEPTH:
            raise ValueError(f"Maps are nested at most {MAX_DEPTH} deep: each level multiplies the elements.")


class _Scope(Node, frozen=True, eq=False):
    """Base of `Map` and `Filter`.

    ``parent`` is a query or a list. ``body`` is evaluated with ``param`` as each element.
    """

    parent: Node
    param: Node
    body: Node

    def __post_init__(self) -> None:
        if not isinstance(self.param, Element):
            raise ValueError("The element of a map or filter is an Element node.")


class Map(_Scope, frozen=True, eq=False):
    """The list of the values of ``body`` for each element.

    With ``errors``, the list contains the error of each element that fails. Without it, the first error is the error of
    the whole map.
    """

    errors: bool = False


class Filter(_Scope, frozen=True, eq=False):
    """The list of elements that make ``body`` true."""


class Reduce(Node, frozen=True, eq=False):
    """One value of a list: its ``sum``, ``min``, ``max`` (None for an empty list), ``any``, ``all`` or ``len``."""

    name: str
    parent: Node

    def __post_init__(self) -> None:
        if self.name not in FOLDS:
            raise ValueError(f"{self.name!r} is no fold; there are {', '.join(sorted(FOLDS))}.")


class IfElse(Node, frozen=True, eq=False):
    """``then`` if ``test`` is true, else ``otherwise``; the other branch is not evaluated."""

    test: Node
    then: Node
    otherwise: Node


_KINDS: dict[str, type[Node]] = {"param": Element, "map": Map, "where": Filter, "fold": Reduce, "cond": IfElse}
KINDS.update(_KINDS)

_NONE: frozenset[Element] = frozenset()


def total(values: Collection[Any]) -> Any:
    """Add numbers as Python's ``sum()`` does, or durations; raises TypeError for other values and for None.

    >>> total([True, 2]), total([]), total([datetime.timedelta(1), datetime.timedelta(2)])
    (3, 0, datetime.timedelta(days=3))
    """
    first = next(iter(values), 0)
    return sum(values, datetime.timedelta()) if isinstance(first, datetime.timedelta) else sum(values)


def scoped(node: Node) -> Element | None:
    """Return the param that ``node`` binds in its body; None for other kinds."""
    return node.param if isinstance(node, _Scope) else None  # type: ignore[return-value]


def free_params(
    nodes: Iterable[Node], inputs: Mapping[Node, Iterable[Node]] | None = None
) -> dict[Node, frozenset[Element]]:
    """For each node of a topological list, return the params that it depends on and that no node at or below it binds.

    ``inputs`` maps each node to its inputs, if the caller has them already.

    >>> from django_rpc.graph.nodes.base import Attr, ModelSource
    >>> row = Element()
    >>> total = Attr(row, "total")
    >>> orders = ModelSource("shop.Order", "rpc")
    >>> found = free_params([row, total, orders, Map(orders, row, total)])
    >>> [len(params) for params in found.values()]
    [1, 1, 0, 0]
    """
    params_of: dict[Node, frozenset[Element]] = {}
    for node in nodes:
        if isinstance(node, Element):
            params_of[node] = frozenset((node,))
        elif isinstance(node, _Scope):
            within = params_of[node.body]
            params_of[node] = params_of[node.parent] | (within - {node.param} if node.param in within else within)
        else:
            params = _NONE
            for below in node.inputs() if inputs is None else inputs[node]:
                theirs = params_of[below]
                if theirs and theirs is not params:
                    params = params | theirs if params else theirs
            params_of[node] = params
    return params_of


def depends(node: Node, since: int = 0) -> frozenset[Element]:
    """Return the params that ``node`` depends on, outside of the maps that bind them.

    Nodes built before ``since`` (an ``order``) are skipped, so a long graph outside of a lambda costs nothing.

    >>> from django_rpc.graph.nodes.base import Attr
    >>> len(depends(Attr(Element(), "total")))
    1
    """
    bound: set[Node] = set()
    params: set[Element] = set()
    stack: list[Node] = [node]
    seen: set[Any] = {node}
    while stack:
        current = stack.pop()
        if isinstance(current, Element):
            params.add(current)
            continue
        if isinstance(current, _Scope):
            bound.add(current.param)
        for below in current.inputs():
            if below.order >= since and below not in seen:
                seen.add(below)
                stack.append(below)
    return frozenset(params - bound)
