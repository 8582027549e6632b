"""Equal reads become one node, so that the server does them once."""

from __future__ import annotations

from typing import Any

from django_rpc.graph.identity import key, substitute
from django_rpc.graph.nodes import Method, ModelSource, Node
from django_rpc.graph.plan.expression_graph import ExpressionGraph

__all__ = ["merge_reads"]


def merge_reads(graph: ExpressionGraph) -> ExpressionGraph:
    """Replace all reads of equal content by one node.

    Two queries and two counts become one query and one count:

    >>> from django_rpc.graph.traversal import topological
    >>> from django_rpc.graph.format import step
    >>> from django_rpc.graph.nodes import Method, Operator, ModelSource
    >>> counts = [Method(Method(ModelSource("shop.Order", "rpc"), "all"), "count") for _ in range(2)]
    >>> twice = Operator("add", tuple(counts))
    >>> before = ExpressionGraph(topological([twice]), (twice,))
    >>> after = merge_reads(before)
    >>> [step(node) for node in before.nodes[:-1]]
    ['Order.objects', '.all()', '.count()', 'Order.objects', '.all()', '.count()']
    >>> [step(node) for node in after.nodes[:-1]]
    ['Order.objects', '.all()', '.count()']

    Writes, registered calls and random values are never merged. A read before a write and an equal read after it remain
    two reads. An unevaluated query has no time of reading, so equal queries are merged on both sides of a write.
    """
    alike: dict[Any, Node | dict[Any, Node]] = {}
    replaced: dict[Node, Node] = {}
    nodes: list[Node] = []
    writes = 0  # before the current node
    for node in graph.nodes:
        before = node.inputs()
        inputs = tuple([replaced.get(below, below) for below in before]) if replaced else before
        new = node if inputs == before else substitute(node, replaced)
        if not node.writes:
            # Most nodes differ in this cheap likeness; the content is hashed only if it does not differ.
            moment = 0 if node.is_query else writes
            likeness = (type(node), getattr(node, "name", None), moment, _values(new), *sorted(map(id, inputs)))
            first = _first(alike, likeness, new)
        elif node.digest is not None:
            first = _first(alike, node.digest, new)  # a pickled write, which may have a copy in this graph
        else:
            first = new
        if first is new:
            nodes.append(new)
            writes += node.writes
        if first is not node:
            replaced[node] = first
    if not replaced:
        return graph
    return ExpressionGraph(tuple(nodes), tuple([replaced.get(output, output) for output in graph.outputs]))


def _values(node: Node) -> Any:
    """Return a value that is equal for equal arguments; None if the arguments have no cheap hash."""
    if isinstance(node, ModelSource):
        return node.model, node.service
    if not isinstance(node, Method):
        return None
    values = (node.args, tuple(node.kwargs.items()))
    try:
        hash(values)
    except TypeError:
        return None
    return values


def _first(alike: dict[Any, Node | dict[Any, Node]], likeness: Any, new: Node) -> Node:
    """Return the earlier node with the content of ``new``; without such a node, store and return ``new``."""
    bucket = alike.get(likeness)
    if bucket is None:
        alike[likeness] = new
        return new
    if type(bucket) is ModelSource:
        return bucket  # equal likeness means equal content
    if isinstance(bucket, Node):
        bucket = {key(bucket): bucket}
        alike[likeness] = bucket
    return bucket.setdefault(key(new), new)
