"""Reads that a service executes one by one, with their reasons, for `explain()`.

>>> from django_rpc.graph.delayed.delayed import Delayed
>>> from django_rpc.graph.nodes import ModelSource
>>> from django_rpc.graph.traversal import topological
>>> clients, orders = Delayed(ModelSource("shop.Client", "rpc")), Delayed(ModelSource("shop.Order", "rpc"))
>>> counts = clients.map(lambda c: orders.filter(client=c).count())
>>> single_reads(topological([counts]))
[]
>>> larger = clients.map(lambda c: orders.get(total__gt=c.credit))
>>> [reason for _, reason in single_reads(topological([larger]))]
['total__gt=... does not tell by a column which rows belong to which value']
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from django_rpc.graph.nodes import Attr, Call, Element, Filter, IfElse, Literal, Map, Node, Reduce, ServiceCall
from django_rpc.graph.nodes.collections import free_params
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
from django_rpc.graph.traversal import topological
from django_rpc.graph.vocabulary.names import METHODS

__all__ = ["single_reads"]


_WRITING = "a map that writes handles one element after the other"
_CALLED = "code of the service is called for each element"
_CODE = (Call, ServiceCall)
#: Methods that read a query, and cannot share a statement.
_ODD = {
    name for name, spec in METHODS.items() if "query" in spec.on and not spec.returns_query and not spec.writes
} - TERMINALS


def single_reads(nodes: Sequence[Node]) -> list[tuple[Node, str]]:
    """Return the reads for many elements or values that need a statement each, with the reason.

    A service may have more reasons, for example its tables.
    """
    terminals = [node for node in nodes if is_asked(node)]
    if not any(node.is_element for node in nodes):
        return _of_groups(terminals) if len(terminals) > 1 else []
    all_nodes = topological(nodes)
    free = free_params(all_nodes)
    writing = any(node.writes and free[node] for node in all_nodes)
    reads: list[tuple[Node, str]] = [(node, _CALLED) for node in all_nodes if isinstance(node, _CODE) and free[node]]
    candidates = {*terminals, *_read_otherwise(all_nodes, free)}
    for node in [node for node in all_nodes if node in candidates and free[node]]:
        shape = shape_of(node)
        reason = _WRITING if writing else obstacle(shape, _positions(shape, free))
        if reason is not None and (writing or not _is_nested(node, shape, free)):
            reads.append((node, reason))
    return reads + _of_groups([node for node in terminals if not free[node]])


def _read_otherwise(all_nodes: Sequence[Node], free: dict[Node, frozenset[Element]]) -> list[Node]:
    """Return the reads for each element by methods that cannot share a statement, and the queries that are read."""
    users: dict[Node, list[Node]] = {}
    for node in all_nodes:
        for below in node.inputs():
            users.setdefault(below, []).append(node)
    return [node for node in all_nodes if free[node] and (_is_odd(node) or _is_read(node, users.get(node, ())))]


def _is_odd(node: Node) -> bool:
    return node.method_name in _ODD


def _is_read(node: Node, users: Iterable[Node]) -> bool:
    """Return True for a query that is read as rows, by a node that makes no other query of it."""
    return is_step(node) and any(isinstance(user, Map | Filter | Literal | IfElse | Reduce) for user in users)


def _of_groups(terminals: Sequence[Node]) -> list[tuple[Node, str]]:
    """Return the first read of each shape with several reads that cannot share a statement."""
    reads: list[tuple[Node, str]] = []
    groups: dict[Hashable, list[tuple[Node, Shape]]] = {}
    for node in terminals:
        shape = shape_of(node)
        groups.setdefault(shape.key, []).append((node, shape))
    for group in groups.values():
        if len(group) > 1:
            shapes = [shape for _, shape in group]
            reason = obstacle(shapes[0], differing(shapes))
            if reason is not None:
                reads.append((group[0][0], reason))
    return reads


def _positions(shape: Shape, free: dict[Node, frozenset[Element]]) -> list[int]:
    """Return the positions of the leaves that differ between the elements."""
    return [place for place, leaf in enumerate(shape.leaves) if isinstance(leaf.value, Node) and free[leaf.value]]


def _is_nested(node: Node, shape: Shape, free: dict[Node, frozenset[Element]]) -> bool:
    """Return True if the node uses only the element or its fields, which SQL expresses as an OuterRef."""
    if getattr(node, "name", None) not in NESTED or len(free[node]) != 1 or mixed(shape) is not None:
        return False
    values = [leaf.value for leaf in shape.leaves if isinstance(leaf.value, Node) and free[leaf.value]]
    return all(isinstance(value.parent if isinstance(value, Attr) else value, Element) for value in values)
