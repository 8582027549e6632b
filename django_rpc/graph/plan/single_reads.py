"""Which reads of many a service asks one by one, and why: what `explain` says where one statement cannot do.

>>> from django_rpc.graph.delayed.delayed import Delayed
>>> from django_rpc.graph.nodes.base import ModelSource
>>> from django_rpc.graph.plan.dag import topological
>>> clients, orders = Delayed(ModelSource("shop.Client", "rpc")), Delayed(ModelSource("shop.Order", "rpc"))
>>> counts = clients.map(lambda c: orders.filter(client=c).count())
>>> asked_singly(topological([counts]))
[]
>>> larger = clients.map(lambda c: orders.get(total__gt=c.credit))
>>> [reason for _, reason in asked_singly(topological([larger]))]
['total__gt=... does not tell by a column which rows belong to which value']
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from django_rpc.graph.nodes.base import Attr, Call, Literal, Method, Node
from django_rpc.graph.nodes.collections import Element, Filter, IfElse, Map, Reduce, free_params
from django_rpc.graph.nodes.remote_function import ServiceCall
from django_rpc.graph.plan.dag import topological
from django_rpc.graph.plan.query_template import (
    NESTED,
    TERMINALS,
    Shape,
    differing,
    is_asked,
    is_step,
    mixed,
    obstacle,
    shape_of,
)
from django_rpc.graph.vocabulary.names import METHODS

__all__ = ["asked_singly"]


_WRITING = "a map that writes does one element after the other"
_CALLED = "code of the service's own is called for each element"
_CODE = (Call, ServiceCall)
#: Methods that ask a query, and of which there cannot be many at once.
_ODD = {
    name for name, spec in METHODS.items() if "query" in spec.on and not spec.returns_query and not spec.writes
} - TERMINALS


def asked_singly(nodes: Sequence[Node]) -> list[tuple[Node, str]]:
    """The reads for each of many elements or values that cannot be one statement, each with the reason.

    A service may have reasons of its own, which it knows when it sees its tables.
    """
    asked = [node for node in nodes if is_asked(node)]
    if not any(isinstance(node, Element) for node in nodes):
        return _of_groups(asked) if len(asked) > 1 else []
    whole = topological(nodes)
    free = free_params(whole)
    writing = any(node.writes and free[node] for node in whole)
    found: list[tuple[Node, str]] = [(node, _CALLED) for node in whole if isinstance(node, _CODE) and free[node]]
    read = asked + _read_otherwise(whole, free)
    for node in sorted([node for node in read if free[node]], key=lambda node: node.order):
        shape = shape_of(node)
        reason = _WRITING if writing else obstacle(shape, _positions(shape, free))
        if reason is not None and (writing or not _is_nested(node, shape, free)):
            found.append((node, reason))
    return found + _of_groups([node for node in asked if not free[node]])


def _read_otherwise(whole: Sequence[Node], free: dict[Node, frozenset[Element]]) -> list[Node]:
    """What is asked for each element by a method of which there cannot be many at once, and queries that are read."""
    users: dict[Node, list[Node]] = {}
    for node in whole:
        for one in node.inputs():
            users.setdefault(one, []).append(node)
    return [node for node in whole if free[node] and (_is_odd(node) or _is_read(node, users.get(node, ())))]


def _is_odd(node: Node) -> bool:
    return isinstance(node, Method) and node.name in _ODD


def _is_read(node: Node, users: Iterable[Node]) -> bool:
    """Whether a query is read as rows: what uses it makes no further query of it, and asks nothing of it."""
    return is_step(node) and any(isinstance(user, Map | Filter | Literal | IfElse | Reduce) for user in users)


def _of_groups(asked: Sequence[Node]) -> list[tuple[Node, str]]:
    """Reads of one shape with values of their own, of which one statement cannot answer all."""
    found: list[tuple[Node, str]] = []
    groups: dict[Hashable, list[tuple[Node, Shape]]] = {}
    for node in asked:
        shape = shape_of(node)
        groups.setdefault(shape.key, []).append((node, shape))
    for group in groups.values():
        if len(group) > 1:
            shapes = [shape for _, shape in group]
            reason = obstacle(shapes[0], differing(shapes))
            if reason is not None:
                found.append((group[0][0], reason))
    return found


def _positions(shape: Shape, free: dict[Node, frozenset[Element]]) -> list[int]:
    """The leaves that differ between the elements."""
    return [place for place, leaf in enumerate(shape.leaves) if isinstance(leaf.value, Node) and free[leaf.value]]


def _is_nested(node: Node, shape: Shape, free: dict[Node, frozenset[Element]]) -> bool:
    """Whether all that it takes of its element is the element or a field of it, which SQL says as an OuterRef."""
    if getattr(node, "name", None) not in NESTED or len(free[node]) != 1 or mixed(shape) is not None:
        return False
    values = [leaf.value for leaf in shape.leaves if isinstance(leaf.value, Node) and free[leaf.value]]
    return all(isinstance(value.parent if isinstance(value, Attr) else value, Element) for value in values)
