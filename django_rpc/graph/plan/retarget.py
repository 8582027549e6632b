"""Retargeting of a query to another service, with all queries that it reads there.

Two services may have the same models, for example a copy or the shards of a shop's data. The user may write a query
before choosing its service. Such a query can contain other queries without a chosen service.
"""

from __future__ import annotations

from django_rpc.graph.identity import substitute
from django_rpc.graph.nodes import ModelSource, Node
from django_rpc.graph.traversal import topological

__all__ = ["moved"]


def moved(node: Node, start: str, end: str, *, pinned: bool = False) -> Node:
    """Read at ``end`` the rows that ``node`` reads at ``start``; return ``node`` itself if it reads no rows there.

    A query that the user pinned to ``start`` stays there. ``pinned`` also pins the moved queries to ``end``. They then
    stay there when they are nested in a query that is moved later.

    >>> from django_rpc.graph.nodes import Method
    >>> clients, stock = ModelSource("shop.Client", "rpc"), ModelSource("stock.Item", "stock")
    >>> orders = Method(ModelSource("shop.Order", "rpc"), "filter", (), {"client__in": clients, "item__in": stock})
    >>> copied = moved(orders, "rpc", "copy")
    >>> copied.parent.service, copied.kwargs["client__in"].service, copied.kwargs["item__in"].service
    ('copy', 'copy', 'stock')
    >>> moved(moved(clients, "rpc", "rpc", pinned=True), "rpc", "copy").service
    'rpc'
    """
    replaced: dict[Node, Node] = {}
    for current in topological([node]):
        if type(current) is not ModelSource:
            other = substitute(current, replaced)
            if other is not current:
                replaced[current] = other
        elif current.service == start and not current.pinned:
            replaced[current] = ModelSource(
                current.model, end, current.mirror, pinned, current.base, where=current.where, order=current.order
            )
    return replaced.get(node, node)
