"""What no output needs is left out."""

from __future__ import annotations

from django_rpc.graph.plan.dag import topological
from django_rpc.graph.plan.rewrites.draft import Draft

__all__ = ["cull"]


def cull(draft: Draft) -> Draft:
    """The draft without the nodes that its outputs do not stand on: other rewrites leave some behind.

    >>> from django_rpc.graph.format import step
    >>> from django_rpc.graph.nodes.base import Method, ModelSource
    >>> orders = ModelSource("shop.Order", "rpc")
    >>> first, count = Method(orders, "first"), Method(orders, "count")
    >>> [step(node) for node in cull(Draft((orders, first, count), (count,))).nodes]
    ['Order.objects', '.count()']

    A write that nothing stands on is not among them before: what a user computes is what is done.
    """
    nodes = topological(draft.outputs)
    return draft if len(nodes) == len(draft.nodes) else Draft(nodes, draft.outputs)
