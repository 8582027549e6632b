"""Nested queries: a lookup in a list of primary keys, made by ``map``, becomes a lookup in the query itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django_rpc.graph.identity import substitute
from django_rpc.graph.nodes import Attr, Item, Map, Method, Node
from django_rpc.graph.plan.expression_graph import ExpressionGraph
from django_rpc.graph.plan.rewrites.replace import replace
from django_rpc.graph.values import Condition

__all__ = ["nest_queries"]

_LOOKUPS = frozenset({"filter", "exclude", "get"})


def nest_queries(graph: ExpressionGraph) -> ExpressionGraph:
    """Replace ``query.map(lambda row: row.pk)`` by ``query.values("pk")`` in lookups.

    >>> from django_rpc.graph.traversal import topological
    >>> from django_rpc.graph.delayed.delayed import Delayed
    >>> from django_rpc.graph.format import describe
    >>> from django_rpc.graph.nodes import ModelSource
    >>> vips = Delayed(ModelSource("shop.Client", "rpc")).filter(tier="vip")
    >>> orders = Delayed(ModelSource("shop.Order", "rpc"))
    >>> count = orders.filter(client__in=vips.map(lambda c: c.pk)).count().__rpc_node__()
    >>> describe(count)
    "Order.objects.filter(client__in=Client.objects.filter(tier='vip').map(lambda row: row.pk)).count()"
    >>> [describe(node) for node in nest_queries(ExpressionGraph(topological([count]), (count,))).outputs]
    ["Order.objects.filter(client__in=Client.objects.filter(tier='vip').values('pk')).count()"]

    The server nests a query argument in SQL. A list is not replaced if SQL cannot express it: a slice (not every
    database nests slices), names that the server may compute, and a map that collects errors of elements.
    """
    return replace(graph, _nested)


def _nested(node: Node) -> Node:
    if not isinstance(node, Method) or node.name not in _LOOKUPS or not node.parent.is_query:
        return node
    queries: dict[Node, Node] = {}
    for lookup, value in _pairs(node):
        if lookup.endswith("__in") and isinstance(value, Map):
            query = _keys(value)
            if query is not None:
                queries[value] = query
    return substitute(node, queries) if queries else node


def _pairs(node: Method) -> list[tuple[str, Any]]:
    pairs = list(node.kwargs.items())
    stack = [value for value in node.args if isinstance(value, Condition)]
    while stack:
        for child in stack.pop().children:
            if isinstance(child, Condition):
                stack.append(child)
            elif isinstance(child, tuple):
                pairs.append(child)
    return pairs


def _chain(query: Node) -> Iterator[Node]:
    step: Node | None = query
    while step is not None:
        yield step
        step = getattr(step, "parent", None)


def _keys(node: Map) -> Node | None:
    body = node.body
    if not (isinstance(body, Attr) and body.name == "pk" and body.parent is node.param) or node.errors:
        return None
    query = node.parent
    if not isinstance(query, Method) or not query.is_query or query.name in ("values", "values_list"):
        return None
    if any(isinstance(step, Item) for step in _chain(query)):
        return None
    return Method(query, "values", ("pk",), where=node.where, order=node.order)
