"""The kinds of node that work on elements: what a lambda does to one of them is written down once, as a sub-graph.

``orders.map(lambda o: o.total * 2)`` is a `Map` whose body is the node of ``o.total * 2``; ``o`` is a `Param`.  The
body's nodes stand in the graph like any others.  What depends on the param has a value for each element; all else
has one value, as ever, so the body may use what was built outside of it.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django_rpc.graph.node import KINDS, Node

__all__ = ["FOLDS", "MAX_DEPTH", "Cond", "Fold", "Map", "Param", "Where", "depends", "free_params", "scoped", "total"]

#: What a list can be folded into.
FOLDS = frozenset({"sum", "min", "max", "any", "all", "len"})
#: Maps within each other, at most: each level multiplies the elements.
MAX_DEPTH = 8


class Param(Node, frozen=True, eq=False):
    """The element that a `Map` or `Where` is at.

    ``depth`` is the number of lambdas around the one whose argument it is.  So equal lambdas are equal nodes; the
    scope that a param belongs to is the innermost one around it that names it.
    """

    depth: int = 0

    def __post_init__(self) -> None:
        if type(self.depth) is not int or not 0 <= self.depth < MAX_DEPTH:
            raise ValueError(f"Maps are nested at most {MAX_DEPTH} deep: each level multiplies the elements.")


class _Scope(Node, frozen=True, eq=False):
    """``parent`` is a query or a list; ``body`` is evaluated with ``param`` as each of its elements."""

    parent: Node
    param: Node
    body: Node

    def __post_init__(self) -> None:
        if not isinstance(self.param, Param):
            raise ValueError(f"The element of a {type(self).__name__.lower()} is a param.")


class Map(_Scope, frozen=True, eq=False):
    """The list of what ``body`` is for each element.

    With ``errors`` an element that fails is its error, and the others have their values; without, the first
    error is that of the whole.
    """

    errors: bool = False


class Where(_Scope, frozen=True, eq=False):
    """The list of those elements for which ``body`` is true."""


class Fold(Node, frozen=True, eq=False):
    """One value of a list: its ``sum``, ``min``, ``max`` (None of an empty list), ``any``, ``all`` or ``len``."""

    name: str
    parent: Node

    def __post_init__(self) -> None:
        if self.name not in FOLDS:
            raise ValueError(f"{self.name!r} is no fold; there are {', '.join(sorted(FOLDS))}.")


class Cond(Node, frozen=True, eq=False):
    """``then`` where ``test`` is true, else ``otherwise``; the other one is not evaluated."""

    test: Node
    then: Node
    otherwise: Node


_KINDS: dict[str, type[Node]] = {"param": Param, "map": Map, "where": Where, "fold": Fold, "cond": Cond}
KINDS.update(_KINDS)

_NONE: frozenset[Param] = frozenset()


def total(values: Collection[Any]) -> Any:
    """The sum of numbers, as ``sum()`` of Python, or of durations; raises TypeError for other values, None included.

    >>> total([True, 2]), total([]), total([datetime.timedelta(1), datetime.timedelta(2)])
    (3, 0, datetime.timedelta(days=3))
    """
    first = next(iter(values), 0)
    return sum(values, datetime.timedelta()) if isinstance(first, datetime.timedelta) else sum(values)


def scoped(node: Node) -> Param | None:
    """The param that ``node`` binds in its body; None for other kinds."""
    return node.param if isinstance(node, _Scope) else None  # type: ignore[return-value]


def free_params(
    nodes: Iterable[Node], inputs: Mapping[Node, Iterable[Node]] | None = None
) -> dict[Node, frozenset[Param]]:
    """For each node of a topological list, the params that it depends on and that nothing at or below it binds.

    ``inputs`` are those of each node, if somebody has asked for them already.

    >>> from django_rpc.graph.node import Attr, Source
    >>> row = Param()
    >>> total = Attr(row, "total")
    >>> orders = Source("shop.Order", "rpc")
    >>> found = free_params([row, total, orders, Map(orders, row, total)])
    >>> [len(params) for params in found.values()]
    [1, 1, 0, 0]
    """
    found: dict[Node, frozenset[Param]] = {}
    for node in nodes:
        if isinstance(node, Param):
            found[node] = frozenset((node,))
        elif isinstance(node, _Scope):
            within = found[node.body]
            found[node] = found[node.parent] | (within - {node.param} if node.param in within else within)
        else:
            own = _NONE
            for one in node.inputs() if inputs is None else inputs[node]:
                theirs = found[one]
                if theirs and theirs is not own:
                    own = own | theirs if own else theirs
            found[node] = own
    return found


def depends(node: Node, since: int = 0) -> frozenset[Param]:
    """The params that ``node`` depends on, outside of the maps that bind them.

    What was built before ``since`` (an ``order``) is not looked at: a long graph outside of a lambda costs nothing.

    >>> from django_rpc.graph.node import Attr
    >>> len(depends(Attr(Param(), "total")))
    1
    """
    bound: set[Node] = set()
    params: set[Param] = set()
    stack: list[Node] = [node]
    seen: set[Any] = {node}
    while stack:
        one = stack.pop()
        if isinstance(one, Param):
            params.add(one)
            continue
        if isinstance(one, _Scope):
            bound.add(one.param)
        for below in one.inputs():
            if below.order >= since and below not in seen:
                seen.add(below)
                stack.append(below)
    return frozenset(params - bound)
