"""The graph between two phases of the planner, before its nodes have places."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django_rpc.graph.nodes import Node

if TYPE_CHECKING:
    import networkx

__all__ = ["ExpressionGraph"]


class ExpressionGraph(NamedTuple):
    """The nodes of a graph in topological order, and its outputs.

    The order is also the user's order of reads and writes.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[Node, ...]

    def digraph(self) -> networkx.DiGraph:
        """Return the graph with data edges and effect edges; see `edges.expression_digraph`."""
        from django_rpc.graph.plan.edges import expression_digraph  # a graph of one service needs no networkx

        return expression_digraph(self)
