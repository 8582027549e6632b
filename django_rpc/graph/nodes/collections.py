"""Node kinds that work on elements: a sub-graph records the operations of a lambda on one element.

``orders.map(lambda o: o.total * 2)`` is a `Map`; its body is the node of ``o.total * 2``, and ``o`` is a `Element`. The
nodes of the body are ordinary nodes of the graph. A node that depends on the param has a value for each element. Every
other node has one value, so the body may use nodes that were built outside of it.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django_rpc.graph.nodes.base import Node, Place

if TYPE_CHECKING:
    from django_rpc.graph.format import Writer
    from django_rpc.graph.local_evaluation import Values

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

#: Maximum nesting of maps: each level multiplies the number of elements.
MAX_DEPTH = 8


class Element(Node, frozen=True, eq=False):
    """The current element of a `Map` or `Filter`.

    ``depth`` is the number of lambdas around the lambda with this argument. So equal lambdas are equal nodes. The scope
    of an element is the innermost scope around it with this element.
    """

    tag = "param"
    place = Place.INPUTS
    operation = "read"
    is_element = True

    depth: int = 0

    def __post_init__(self) -> None:
        if type(self.depth) is not int or not 0 <= self.depth < MAX_DEPTH:
            raise ValueError(f"Maps are nested at most {MAX_DEPTH} deep: each level multiplies the elements.")

    def text(self, write: Writer) -> str:
        return f"row{self.depth + 1}" if self.depth else "row"


class Scope(Node, frozen=True, eq=False):
    """Base of `Map` and `Filter`.

    ``parent`` is a query or a list. ``body`` is evaluated with ``param`` as each element.
    """

    is_abstract = True
    place = Place.PARENT
    operation = "read"
    binds_element = True

    parent: Node
    param: Node
    body: Node

    def __post_init__(self) -> None:
        if not self.param.is_element:
            raise ValueError("The element of a map or filter is an Element node.")


class Map(Scope, frozen=True, eq=False):
    """The list of the values of ``body`` for each element.

    With ``errors``, the list contains the error of each element that fails. Without it, the first error is the error of
    the whole map.
    """

    tag = "map"

    errors: bool = False

    def text(self, write: Writer) -> str:
        return f".map(lambda {self.param.text(write)}: {write.value(self.body)})"

    def compute(self, values: Values) -> Any:
        return [value for _, value in values.each(self, self.errors)]


class Filter(Scope, frozen=True, eq=False):
    """The list of elements that make ``body`` true."""

    tag = "where"

    def text(self, write: Writer) -> str:
        return f".filter_by(lambda {self.param.text(write)}: {write.value(self.body)})"

    def compute(self, values: Values) -> Any:
        return [element for element, value in values.each(self) if value]


class Reduce(Node, frozen=True, eq=False):
    """One value of a list: its ``sum``, ``min``, ``max`` (None for an empty list), ``any``, ``all`` or ``len``."""

    tag = "fold"
    place = Place.PARENT
    operation = "read"

    name: str
    parent: Node

    def __post_init__(self) -> None:
        if self.name not in FOLDS:
            raise ValueError(f"{self.name!r} is no fold; there are {', '.join(sorted(FOLDS))}.")

    def text(self, write: Writer) -> str:
        return f".{self.name}()"

    def compute(self, values: Values) -> Any:
        return _REDUCERS[self.name](values[self.parent])


class IfElse(Node, frozen=True, eq=False):
    """``then`` if ``test`` is true, else ``otherwise``; the other branch is not evaluated."""

    tag = "cond"
    place = Place.INPUTS
    operation = "read"
    is_conditional = True

    test: Node
    then: Node
    otherwise: Node

    def certain_inputs(self) -> tuple[Node, ...]:
        return (self.test,)

    def text(self, write: Writer) -> str:
        return f"cond({write.arguments((self.test, self.then, self.otherwise), {})})"

    def compute(self, values: Values) -> Any:
        return values[self.then if values[self.test] else self.otherwise]


_NONE: frozenset[Element] = frozenset()


def total(values: Collection[Any]) -> Any:
    """Add numbers as Python's ``sum()`` does, or durations; raises TypeError for other values and for None.

    >>> total([True, 2]), total([]), total([datetime.timedelta(1), datetime.timedelta(2)])
    (3, 0, datetime.timedelta(days=3))
    """
    first = next(iter(values), 0)
    return sum(values, datetime.timedelta()) if isinstance(first, datetime.timedelta) else sum(values)


#: The functions that reduce a list to one value.
_REDUCERS: dict[str, Callable[[Any], Any]] = {
    "sum": total,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
    "any": any,
    "all": all,
    "len": len,
}
FOLDS = frozenset(_REDUCERS)


def scoped(node: Node) -> Element | None:
    """Return the element that ``node`` binds in its body; None for other kinds."""
    return node.param if node.binds_element else None  # type: ignore[attr-defined]  # a Scope


def free_params(
    nodes: Iterable[Node], inputs: Mapping[Node, Iterable[Node]] | None = None
) -> dict[Node, frozenset[Element]]:
    """For each node of a topological list, return the params that it depends on and that no node at or below it binds.

    ``inputs`` maps each node to its inputs, if the caller has them already.

    >>> from django_rpc.graph.nodes import Attr, ModelSource
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
        elif isinstance(node, Scope):
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

    >>> from django_rpc.graph.nodes import Attr
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
        if isinstance(current, Scope):
            bound.add(current.param)
        for below in current.inputs():
            if below.order >= since and below not in seen:
                seen.add(below)
                stack.append(below)
    return frozenset(params - bound)
