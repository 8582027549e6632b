"""The places where each node can run: services, or the client.

Each kind declares the rule for its places (`Place`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any

from django_rpc.graph.format import describe
from django_rpc.graph.nodes import Call, Filter, Item, Method, Node, Place
from django_rpc.graph.nodes.collections import Scope, free_params
from django_rpc.graph.vocabulary.names import METHODS

__all__ = ["CLIENT", "distance", "single_site", "sites"]

#: The place of local functions. Every other place is the name of a service.
CLIENT = ""

_Sites = Mapping[Node, frozenset[str]]
_NOWHERE: frozenset[str] = frozenset()
_IN_CLIENT = frozenset({CLIENT})
_is_element = attrgetter("is_element")


def _of_inputs(node: Node, sites_of: _Sites) -> frozenset[str]:
    inputs = [sites_of[below] for below in node.inputs()]
    return inputs[0] if len(inputs) == 1 else frozenset().union(*inputs)


#: The places of a node, by the rule of its kind.
_RULES: dict[Place, Callable[[Any, _Sites], frozenset[str]]] = {
    Place.SERVICE: lambda node, sites_of: frozenset({node.service}),
    Place.PARENT: lambda node, sites_of: sites_of[node.parent],
    Place.INPUTS: _of_inputs,
    Place.CLIENT: lambda node, sites_of: _IN_CLIENT,
}


def sites(nodes: Iterable[Node]) -> dict[Node, frozenset[str]]:
    """Return the places of each node of a topological list: none for plain data, or several for a choice.

    >>> from django_rpc.graph.nodes import LocalCall, ModelSource, Operator
    >>> orders = ModelSource("shop.Order", "rpc")
    >>> count, length = Method(orders, "count"), LocalCall(len, ("ab",))
    >>> both = Operator("add", (count, length))
    >>> [sorted(places) for places in sites([orders, count, length, both]).values()]
    [['rpc'], ['rpc'], [''], ['', 'rpc']]

    Raises TypeError for a lambda that needs several places.
    """
    node_list = list(nodes)
    sites_of: dict[Node, frozenset[str]] = {}
    has_lambdas = any(map(_is_element, node_list))
    find = _LambdaSites(node_list, sites_of).find if has_lambdas else _find
    for node in node_list:
        sites_of[node] = find(node, sites_of)
    return sites_of


def _find(node: Node, sites_of: _Sites) -> frozenset[str]:
    return _RULES[node.place](node, sites_of)


def single_site(places: frozenset[str]) -> str | None:
    """Return the place of a node with a single place; None for plain data and for a choice."""
    return next(iter(places)) if len(places) == 1 else None


def distance(start: str, end: str) -> int:
    """Return the number of rounds between two places: 1 between the client and a service, 2 between services."""
    if start == end:
        return 0
    return 1 if CLIENT in (start, end) else 2


class _LambdaSites:
    """The places of lambdas: a node that depends on an element runs where the map of the lambda runs.

    ``needs`` maps each node that depends on an element to the places where it must run. Each place has the node that
    requires it. A param represents the place of its elements, which is not known yet.
    """

    def __init__(self, nodes: list[Node], sites_of: dict[Node, frozenset[str]]) -> None:
        self.free = free_params(nodes)
        self.needs: dict[Node, dict[Any, Node]] = {}
        self.sites_of = sites_of

    def find(self, node: Node, sites_of: _Sites) -> frozenset[str]:
        if isinstance(node, Scope):
            return self._of_map(node)
        if not self.free[node]:
            return _find(node, sites_of)
        dependent = [below for below in node.inputs() if self.free[below]]
        # Inputs that do not depend on the element are evaluated once and carried to the map.
        is_free = node.place is Place.INPUTS
        places = _NOWHERE.union(*[sites_of[below] for below in dependent]) if is_free else _find(node, sites_of)
        needs = {place: reason for below in dependent for place, reason in self.needs[below].items()}
        if not places and _needs_service_of_element(node):
            base = node
            while not base.is_element and hasattr(base, "parent"):
                base = base.parent
            needs.setdefault(base, node)
        self.needs[node] = {**dict.fromkeys(places, node), **needs}
        return places

    def _of_map(self, node: Scope) -> frozenset[str]:
        start = self.sites_of[node.parent]
        needs = dict(self.needs.get(node.body, {}))
        element_reason = needs.pop(node.param, None)
        if element_reason is not None:
            needs |= dict.fromkeys(start, element_reason)
        reasons = {place: reason for place, reason in needs.items() if isinstance(place, str)}
        if len(reasons) > 1:
            raise TypeError(_in_two_places(node, reasons))
        places = frozenset(reasons) or start
        if places != start and CLIENT not in (places | start) and _has_instances(node.parent):
            raise TypeError(_not_its_rows(node, *reasons.items()))
        if self.free[node]:
            outer = {place: reason for place, reason in needs.items() if not isinstance(place, str)}
            self.needs[node] = {**outer, **dict.fromkeys(places, node), **self.needs.get(node.parent, {})}
        return places


def _needs_service_of_element(node: Node) -> bool:
    """Return True for an operation on an element that only the service of the element can execute."""
    return isinstance(node, Call) or (isinstance(node, Method) and "value" not in METHODS[node.name].on)


def _has_instances(node: Node) -> bool:
    """Return True if the elements of a query or list are rows of a model, instead of values of the rows."""
    while isinstance(node, Filter):
        node = node.parent
    if not node.is_query:
        return False
    while isinstance(node, Method | Item):
        if node.method_name in ("values", "values_list", "dates", "datetimes"):
            return False
        node = node.parent
    return True


def _in_two_places(node: Node, reasons: Mapping[str, Node]) -> str:
    texts = [f"{describe(reason, 80)} {_where_it_is(place)}" for place, reason in sorted(reasons.items())]
    return (
        f"The lambda of {describe(node, 100)}{_written_at(node)} runs in one place, and it needs several: "
        f"{', '.join(texts)}. Write two maps: the second one works on the list of the first."
    )


def _not_its_rows(node: Scope, need: tuple[str, Node]) -> str:
    place, reason = need
    return (
        f"The lambda of {describe(node, 100)}{_written_at(node)} runs at service {place!r}, because of "
        f"{describe(reason, 80)}, and rows of another service mean nothing there. Give it values: "
        f'{describe(node.parent, 60)}.values_list("pk", flat=True).map(...).'
    )


def _where_it_is(place: str) -> str:
    return "runs here, in the client" if place == CLIENT else f"is at service {place!r}"


def _written_at(node: Node) -> str:
    return "" if node.where is None else f", written at {node.where[0]}:{node.where[1]},"
