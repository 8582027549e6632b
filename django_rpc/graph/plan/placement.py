"""Placement: the place where each node runs. A node that can run in several places may run in more than one.

Time is counted in rounds. The client works in even rounds (0 is before the first message). The services work in odd
rounds, each on one message. So a value needs one round between the client and a service, and two between services,
because the client carries it. A node with a choice runs where its value is available first.
"""

from __future__ import annotations

from typing import NamedTuple

import networkx

from django_rpc.graph.nodes import Node, Opaque
from django_rpc.graph.nodes.collections import free_params
from django_rpc.graph.plan.edges import add_effect_edges
from django_rpc.graph.plan.expression_graph import ExpressionGraph
from django_rpc.graph.plan.sites import CLIENT, distance, single_site

__all__ = ["PlacedGraph", "PlacedNode", "first_round", "place"]


class PlacedNode(NamedTuple):
    """A node at a place where it runs."""

    node: Node
    place: str


class PlacedGraph(NamedTuple):
    """The placed nodes with data edges and effect edges, in topological order.

    Each stage that uses a ``recomputed`` node evaluates it again: queries, plain data, objects of the client, and nodes
    with a value for each element of a map.
    """

    digraph: networkx.DiGraph
    outputs: tuple[PlacedNode, ...]
    recomputed: set[PlacedNode]


def place(graph: ExpressionGraph) -> PlacedGraph:
    """Choose the places. The user's order of reads and writes becomes effect edges of the placed nodes.

    >>> from django_rpc.graph.nodes import LocalCall, Method, Operator, ModelSource
    >>> orders = ModelSource("shop.Order", "rpc")
    >>> count, length = Method(orders, "count"), LocalCall(len, ("ab",))
    >>> both = Operator("add", (count, length))
    >>> placed = place(ExpressionGraph((orders, count, length, both), (both,)))
    >>> [(type(node).__name__, place) for node, place in placed.digraph]
    [('ModelSource', 'rpc'), ('Method', 'rpc'), ('LocalCall', ''), ('Operator', '')]

    Raises TypeError for a lambda that needs several places.
    """
    expressions = graph.digraph()
    choice = _Choice(expressions)
    origins: dict[PlacedNode, tuple[PlacedNode, ...]] = {}
    outputs = tuple([choice.origin(node, CLIENT) for node in graph.outputs])
    stack = list(outputs)
    while stack:
        placed = stack.pop()
        if placed not in origins:
            origins[placed] = tuple([choice.origin(below, placed.place) for below in placed.node.inputs()])
            stack += origins[placed]
    positions = {node: position for position, node in enumerate(graph.nodes)}
    ordered = sorted(origins, key=lambda placed: (positions[placed.node], placed.place))
    digraph = networkx.DiGraph()
    digraph.add_nodes_from(ordered)
    digraph.add_edges_from(((start, placed) for placed in ordered for start in origins[placed]), kind="data")
    timed = [placed for placed in ordered if not placed.node.is_query]
    add_effect_edges(digraph, ((placed, placed.place, placed.node.writes) for placed in timed))
    params = free_params(graph.nodes)
    recomputed = {
        placed
        for placed in ordered
        if placed.node.is_query
        or params[placed.node]
        or not expressions.nodes[placed.node]["sites"]
        or (isinstance(placed.node, Opaque) and not origins[placed])
    }
    return PlacedGraph(digraph, outputs, recomputed)


class _Choice:
    """The earliest round of each node at each of its places, and with it the best place to have its value from."""

    def __init__(self, expressions: networkx.DiGraph) -> None:
        self._sites = expressions.nodes(data="sites")
        self._rounds: dict[Node, dict[str, int]] = {}
        before = expressions.pred
        for node, places in self._sites:
            # The client is always a candidate for a choice, because every input can be carried there.
            candidates = places if len(places) == 1 else places | {CLIENT}
            rounds = {place: self._earliest(node, place) for place in candidates}
            service = single_site(places)
            if service and not node.is_query:
                earlier = [start for start, edge in before[node].items() if edge["kind"] == "effect"]
                rounds[service] = max([rounds[service], *(self._rounds[start][service] for start in earlier)])
            self._rounds[node] = rounds

    def _earliest(self, node: Node, place: str) -> int:
        arrivals = [self._arrival(self.origin(below, place), place) for below in node.inputs()]
        return max(arrivals, default=first_round(place))

    def _arrival(self, origin: PlacedNode, place: str) -> int:
        node, start = origin
        if start not in self._rounds[node]:
            return first_round(place)
        return max(self._rounds[node][start] + distance(start, place), first_round(place))

    def origin(self, node: Node, place: str) -> PlacedNode:
        """Return the place from which a node at ``place`` receives the value of ``node``."""
        if not self._sites[node]:
            return PlacedNode(node, place)  # plain data is available everywhere
        rounds = self._rounds[node]
        # Among equal places the client: the value of a local function may be unfit for the wire.
        start = min(rounds, key=lambda start: (rounds[start] + distance(start, place), start != CLIENT))
        return PlacedNode(node, start)


def first_round(place: str) -> int:
    """Return the first round of a place."""
    return 0 if place == CLIENT else 1
