"""A query at another service: all that it reads there moves with it.

Two services may have the same models, as a copy of a shop's data or its shards have.  A query is written before
anybody says which of them it is for, and holds others that were written for none.
"""

from __future__ import annotations

from django_rpc.graph.content import substitute
from django_rpc.graph.dag import topological
from django_rpc.graph.node import Node, Source

__all__ = ["moved"]


def moved(node: Node, start: str, end: str, *, pinned: bool = False) -> Node:
    """``node`` with the rows that it reads at the service ``start`` read at ``end``; itself where it reads none there.

    What was said to be read at ``start`` stays there; ``pinned`` says so of what is moved, which may be nested in
    a query that moves later.

    >>> from django_rpc.graph.node import Method
    >>> clients, stock = Source("shop.Client", "rpc"), Source("stock.Item", "stock")
    >>> orders = Method(Source("shop.Order", "rpc"), "filter", (), {"client__in": clients, "item__in": stock})
    >>> copied = moved(orders, "rpc", "copy")
    >>> copied.parent.service, copied.kwargs["client__in"].service, copied.kwargs["item__in"].service
    ('copy', 'copy', 'stock')
    >>> moved(moved(clients, "rpc", "rpc", pinned=True), "rpc", "copy").service
    'rpc'
    """
    replaced: dict[Node, Node] = {}
    for one in topological([node]):
        if type(one) is not Source:
            other = substitute(one, replaced)
            if other is not one:
                replaced[one] = other
        elif one.service == start and not one.pinned:
            replaced[one] = Source(one.model, end, one.mirror, pinned, one.base, where=one.where, order=one.order)
    return replaced.get(node, node)
