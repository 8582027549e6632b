"""Which reads of many a service asks one by one, and why: what `explain` says where one statement cannot do.

>>> from django_rpc.graph.delayed import Delayed
>>> from django_rpc.graph.node import Source
>>> from django_rpc.graph.dag import topological
>>> clients, orders = Delayed(Source("shop.Client", "rpc")), Delayed(Source("shop.Order", "rpc"))
>>> counts = clients.map(lambda c: orders.filter(client=c).count())
>>> asked_singly(topological([counts]))
[]
>>> larger = clients.map(lambda c: orders.get(total__gt=c.credit))
>>> [reason for _, reason in asked_singly(topological([larger]))]
['total__gt=... does not tell by a column which rows belong to which value']
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from django_rpc.graph.dag import topological
from django_rpc.graph.elements import Param, free_params
from django_rpc.graph.node import Attr, Node
from django_rpc.graph.shapes import NESTED, Shape, differing, is_asked, obstacle, shape_of

__all__ = ["asked_singly"]


_WRITING = "a map that writes does one element after the other"


def asked_singly(nodes: Sequence[Node]) -> list[tuple[Node, str]]:
    """The reads for each of many elements or values that cannot be one statement, each with the reason.

    A service may have reasons of its own, which it knows when it sees its tables.
    """
    asked = [node for node in nodes if is_asked(node)]
    if len(asked) < 2 and not any(isinstance(node, Param) for node in nodes):
        return []
    whole = topological(nodes)
    free = free_params(whole)
    writing = any(node.writes and free[node] for node in whole)
    found: list[tuple[Node, str]] = []
    groups: dict[Hashable, list[tuple[Node, Shape]]] = {}
    for node in asked:
        shape = shape_of(node)
        if free[node]:
            reason = _WRITING if writing else obstacle(shape, _positions(shape, free))
            if reason is not None and (writing or not _is_nested(node, shape, free)):
                found.append((node, reason))
        else:
            groups.setdefault(shape.key, []).append((node, shape))
    for group in groups.values():
        if len(group) > 1:
            shapes = [shape for _, shape in group]
            reason = obstacle(shapes[0], differing(shapes))
            if reason is not None:
                found.append((group[0][0], reason))
    return found


def _positions(shape: Shape, free: dict[Node, frozenset[Param]]) -> list[int]:
    """The leaves that differ between the elements."""
    return [place for place, leaf in enumerate(shape.leaves) if isinstance(leaf.value, Node) and free[leaf.value]]


def _is_nested(node: Node, shape: Shape, free: dict[Node, frozenset[Param]]) -> bool:
    """Whether all that it takes of its element is the element or a field of it, which SQL says as an OuterRef."""
    if getattr(node, "name", None) not in NESTED or len(free[node]) != 1:
        return False
    values = [leaf.value for leaf in shape.leaves if isinstance(leaf.value, Node) and free[leaf.value]]
    return all(isinstance(value.parent if isinstance(value, Attr) else value, Param) for value in values)
