"""Cull: remove the nodes that no output needs."""

from __future__ import annotations

from django_rpc.graph.plan.expression_graph import ExpressionGraph

__all__ = ["cull"]


def cull(graph: ExpressionGraph) -> ExpressionGraph:
    """Remove the nodes that no output needs; other rewrites leave such nodes.

    >>> from django_rpc.graph.format import step
    >>> from django_rpc.graph.nodes import Method, ModelSource
    >>> orders = ModelSource("shop.Order", "rpc")
    >>> first, count = Method(orders, "first"), Method(orders, "count")
    >>> [step(node) for node in cull(ExpressionGraph((orders, first, count), (count,))).nodes]
    ['Order.objects', '.count()']

    A write is removed only if no output needs it, and then the user did not compute it.
    """
    stack = list(graph.outputs)
    needed = set(stack)
    while stack:
        for node in stack.pop().inputs():
            if node not in needed:
                needed.add(node)
                stack.append(node)
    if len(needed) == len(graph.nodes):
        return graph
    return ExpressionGraph(tuple([node for node in graph.nodes if node in needed]), graph.outputs)
