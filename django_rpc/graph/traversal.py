"""The nodes below an output, in topological order.

The walk is iterative, so a chain of 100,000 steps needs no deeper stack than a chain of ten.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from django_rpc.graph.nodes import Node

__all__ = ["as_node", "topological"]

_by_order = attrgetter("order")


def as_node(output: Any) -> Node:
    """Return the node of ``output``: a node, or an object with ``__rpc_node__`` (a Delayed, a queryset, an Output).

    >>> from django_rpc.graph.nodes import ModelSource
    >>> as_node(ModelSource("shop.Order", "rpc")).model
    'shop.Order'

    Raises TypeError for any other object.
    """
    if isinstance(output, Node):
        return output
    make_node = getattr(output, "__rpc_node__", None)
    if make_node is None or isinstance(output, type):
        raise TypeError(
            f"{output!r} has no node: expected a Delayed, a queryset or a node. A value that is computed already has "
            "none; query.delayed().count() has one, where query.count() is a number."
        )
    node: Node = make_node()
    return node


def topological(outputs: Iterable[Any]) -> tuple[Node, ...]:
    """Return the nodes that ``outputs`` need, each once, inputs before the nodes made from them.

    The nodes are in the order in which they were built. This is a topological order, because a node is built after its
    inputs. It is also the user's order of reads and writes: a read that was built before a write runs before the write.

    >>> from django_rpc.graph.nodes import Method, ModelSource
    >>> orders = ModelSource("shop.Order", "rpc")
    >>> late = Method(Method(orders, "filter", (), {"total": 1}), "first")
    >>> [type(node).__name__ + ":" + getattr(node, "name", "") for node in topological([late, orders])]
    ['ModelSource:', 'Method:filter', 'Method:first']

    Raises TypeError for an output without a node.
    """
    stack = [as_node(output) for output in outputs]
    reached = set(stack)
    while stack:
        for node in stack.pop().inputs():
            if node not in reached:
                reached.add(node)
                stack.append(node)
    return tuple(sorted(reached, key=_by_order))
