"""Equal reads become one node, so that the server does them once."""

from __future__ import annotations

from typing import Any

from django_rpc.graph.identity import key, substitute
from django_rpc.graph.nodes.base import Method, ModelSource, Node
from django_rpc.graph.plan.rewrites.draft import Draft

__all__ = ["merge_reads"]


def merge_reads(draft: Draft) -> Draft:
    """The draft with one node for all reads of equal content.

    Before, two queries and two counts; after, one of each:

    >>> from django_rpc.graph.plan.dag import topological
    >>> from django_rpc.graph.format import step
    >>> from django_rpc.graph.nodes.base import Method, Operator, ModelSource
    >>> counts = [Method(Method(ModelSource("shop.Order", "rpc"), "all"), "count") for _ in range(2)]
    >>> twice = Operator("add", tuple(counts))
    >>> before = Draft(topological([twice]), (twice,))
    >>> after = merge_reads(before)
    >>> [step(node) for node in before.nodes[:-1]]
    ['Order.objects', '.all()', '.count()', 'Order.objects', '.all()', '.count()']
    >>> [step(node) for node in after.nodes[:-1]]
    ['Order.objects', '.all()', '.count()']

    Writes and registered calls are never merged, nor what is random; and a value that is read before a write and
    again after it stays two reads.  A query is not read until something is asked of it, so equal queries are one
    wherever they stand.
    """
    alike: dict[Any, Node | dict[Any, Node]] = {}
    replaced: dict[Node, Node] = {}
    nodes: list[Node] = []
    last_write = 0
    for node in draft.nodes:
        before = node.inputs()
        inputs = tuple([replaced.get(one, one) for one in before]) if replaced else before
        new = substitute(node, replaced) if inputs != before else node
        if not node.writes:
            # A cheap likeness first: contents are compared only where it is not enough to tell two nodes apart.
            moment = 0 if node.is_query else last_write
            likeness = (type(node), getattr(node, "name", None), moment, _values(new), *sorted(map(id, inputs)))
            first = _first(alike, likeness, new)
        elif node.digest is not None:
            first = _first(alike, node.digest, new)  # it was pickled, so a copy of it may be here
        else:
            first = new
        if first is new:
            nodes.append(new)
            if node.writes:
                last_write = node.order
        if first is not node:
            replaced[node] = first
    if not replaced:
        return draft
    return Draft(tuple(nodes), tuple([replaced.get(output, output) for output in draft.outputs]))


def _values(node: Node) -> Any:
    """Something equal for equal arguments, where that is quickly had: most reads of one shape differ in a value."""
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
    """The kept node that has the content of ``new``; ``new`` itself, which is kept then, where there is none."""
    bucket = alike.get(likeness)
    if bucket is None:
        alike[likeness] = new
        return new
    if type(bucket) is ModelSource:
        return bucket  # its likeness is its content
    if isinstance(bucket, Node):
        bucket = {key(bucket): bucket}
        alike[likeness] = bucket
    return bucket.setdefault(key(new), new)
