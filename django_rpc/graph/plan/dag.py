"""From outputs to the graph below them: its nodes in order, and its networkx form.

All of it is iterative: a chain of 100,000 steps is no deeper for Python than one of ten.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from django_rpc.graph.format import step
from django_rpc.graph.nodes.base import Node

if TYPE_CHECKING:
    import networkx

__all__ = ["as_node", "to_dag", "topological"]

_by_order = attrgetter("order")


def as_node(output: Any) -> Node:
    """The node of ``output``: a node itself, or anything with ``__rpc_node__`` (a Delayed, a queryset, an Output).

    >>> from django_rpc.graph.nodes.base import ModelSource
    >>> as_node(ModelSource("shop.Order", "rpc")).model
    'shop.Order'

    Raises TypeError for anything else.
    """
    if isinstance(output, Node):
        return output
    node = getattr(output, "__rpc_node__", None)
    if node is None or isinstance(output, type):
        raise TypeError(f"{output!r} is no node, and stands on none: give a Delayed, a queryset or a node.")
    found: Node = node()
    return found


def topological(outputs: Iterable[Any]) -> tuple[Node, ...]:
    """The nodes that ``outputs`` need, each once, inputs before the nodes made from them.

    They stand in the order in which they were built.  That is a topological order, since a node is built after
    its inputs, and it is the user's own order of reads and writes: what was read before a write was written
    down is read before it runs.  What no output needs is not in it.

    >>> from django_rpc.graph.nodes.base import Method, ModelSource
    >>> orders = ModelSource("shop.Order", "rpc")
    >>> late = Method(Method(orders, "filter", (), {"total": 1}), "first")
    >>> [type(node).__name__ + ":" + getattr(node, "name", "") for node in topological([late, orders])]
    ['ModelSource:', 'Method:filter', 'Method:first']

    Raises TypeError for an output without a node.
    """
    stack = [as_node(output) for output in outputs]
    seen = set(stack)
    while stack:
        for node in stack.pop().inputs():
            if node not in seen:
                seen.add(node)
                stack.append(node)
    return tuple(sorted(seen, key=_by_order))


def to_dag(outputs: Iterable[Any]) -> networkx.DiGraph:
    """The graph below ``outputs`` as a networkx DiGraph, with an edge from each input to what is made from it.

    Its nodes are the `Node` objects, with the attributes ``label`` (the step as text), ``effect`` (``"read"`` or
    ``"write"``), ``service`` (where it runs: None for plain data, and in the client) and ``output`` (whether it was
    asked for).

    >>> from django_rpc.graph.nodes.base import Method, ModelSource
    >>> graph = to_dag([Method(ModelSource("shop.Order", "rpc"), "count")])
    >>> [data["label"] for _, data in graph.nodes(data=True)]
    ['Order.objects', '.count()']
    """
    import networkx  # here, so that importing the client stays quick

    from django_rpc.graph.plan.placement import homes

    outputs = [as_node(output) for output in outputs]
    wanted = set(outputs)
    nodes = topological(outputs)
    known = homes(nodes)
    graph = networkx.DiGraph()
    for node in nodes:
        graph.add_node(
            node,
            label=step(node),
            effect=node.effect.value,
            service=", ".join(sorted(filter(None, known[node]))) or None,
            output=node in wanted,
        )
        graph.add_edges_from((parent, node) for parent in node.inputs())
    return graph
