"""Replacement of single nodes, the common part of most rewrites."""

from __future__ import annotations

from collections.abc import Callable

from django_rpc.graph.identity import substitute
from django_rpc.graph.nodes import Node
from django_rpc.graph.plan.expression_graph import ExpressionGraph

__all__ = ["replace"]


def replace(graph: ExpressionGraph, rule: Callable[[Node], Node]) -> ExpressionGraph:
    """Replace each node by the result of ``rule``: an equal node, or the same node.

    ``rule`` receives each node after the replacement of its inputs. It may return an input, or a new node with the
    order of the replaced node. New inputs of a new node precede it.
    """
    replaced: dict[Node, Node] = {}
    nodes: dict[Node, None] = {}
    for node in graph.nodes:
        current = substitute(node, replaced) if replaced else node
        better = rule(current)
        if better is not current:
            nodes.update(dict.fromkeys(better.inputs()))
        nodes[better] = None
        if better is not node:
            replaced[node] = better
    if not replaced:
        return graph
    return ExpressionGraph(tuple(nodes), tuple([replaced.get(output, output) for output in graph.outputs]))
