"""Graphs of nodes as `networkx.DiGraph`: data edges, and effect edges that keep the user's order of writes.

A data edge leads from an input to the node that is made from it. An effect edge leads from a write to the following
reads and writes of the same service, and from a read to the following write. The user's order is read once, when the
effect edges are made; the later phases use only the edges.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import networkx

from django_rpc.graph.format import step
from django_rpc.graph.plan.expression_graph import ExpressionGraph
from django_rpc.graph.plan.sites import single_site, sites

__all__ = ["add_effect_edges", "expression_digraph", "labelled"]


def expression_digraph(graph: ExpressionGraph) -> networkx.DiGraph:
    """Return the graph of all nodes. Each node has the attribute ``sites``, and each edge has the attribute ``kind``.

    >>> from django_rpc.graph.nodes import Method, ModelSource
    >>> orders = ModelSource("shop.Order", "rpc")
    >>> nodes = orders, Method(orders, "count"), Method(orders, "create"), Method(orders, "count")
    >>> graph = expression_digraph(ExpressionGraph(nodes, nodes[1:]))
    >>> names = ["orders", "count", "create", "count again"]
    >>> for start, end, kind in graph.edges(data="kind"):
    ...     print(names[nodes.index(start)], "->", names[nodes.index(end)], kind)
    orders -> count data
    orders -> create data
    orders -> count again data
    count -> create effect
    create -> count again effect
    """
    digraph = networkx.DiGraph()
    sites_of = sites(graph.nodes)
    digraph.add_nodes_from((node, {"sites": sites_of[node]}) for node in graph.nodes)
    digraph.add_edges_from(((below, node) for node in graph.nodes for below in node.inputs()), kind="data")
    timed = [node for node in graph.nodes if not node.is_query]
    add_effect_edges(digraph, ((node, single_site(sites_of[node]), node.writes) for node in timed))
    return digraph


def add_effect_edges(digraph: networkx.DiGraph, operations: Iterable[tuple[Any, str | None, bool]]) -> None:
    """Add the effect edges of ``operations``: node, service, and True for a write, in the user's order.

    An operation without a service has no effect edges. A data edge remains, because it has the same direction.
    """
    last_write: dict[str, Any] = {}
    reads: dict[str, list[Any]] = {}  # since the last write
    for node, service, writes in operations:
        if not service:
            continue
        earlier = reads.get(service) or [] if writes else []
        if not earlier and service in last_write:
            earlier = [last_write[service]]
        digraph.add_edges_from([(start, node, {"kind": "effect"}) for start in earlier if node not in digraph[start]])
        if writes:
            last_write[service] = node
            reads[service] = []
        else:
            reads.setdefault(service, []).append(node)


def labelled(digraph: networkx.DiGraph, graph: ExpressionGraph) -> networkx.DiGraph:
    """Add the attributes for readers: ``label``, ``effect``, ``service`` (None in the client) and ``output``."""
    for node, attributes in digraph.nodes(data=True):
        attributes["label"] = step(node)
        attributes["effect"] = node.effect.value
        attributes["service"] = ", ".join(sorted(filter(None, attributes["sites"]))) or None
        attributes["output"] = node in graph.outputs
    return digraph
