"""The first phase: the nodes that the outputs need."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from django_rpc.graph.format import describe
from django_rpc.graph.nodes import Node
from django_rpc.graph.nodes.collections import depends
from django_rpc.graph.plan.expression_graph import ExpressionGraph
from django_rpc.graph.traversal import as_node, topological

__all__ = ["collect"]

_is_element = attrgetter("is_element")


def collect(outputs: Iterable[Any]) -> ExpressionGraph:
    """Return the graph below ``outputs`` (nodes, Delayed, querysets, Outputs).

    Raises TypeError for an output without a node, and for an output that depends on the placeholder of a lambda.
    """
    output_nodes = tuple([as_node(output) for output in outputs])
    nodes = topological(output_nodes)
    if any(map(_is_element, nodes)):
        _check_closed(output_nodes)
    return ExpressionGraph(nodes, output_nodes)


def _check_closed(outputs: Iterable[Node]) -> None:
    for node in outputs:
        if depends(node):
            raise TypeError(
                f"{describe(node, 100)} depends on the element of a lambda, which has a value only within its "
                "map() or filter_by(): return it from the lambda, and compute the map."
            )
