"""Names of the operations of a request, without any value: for logs, spans and labels of metrics."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from django_rpc.graph import nodes
from django_rpc.graph.nodes import Attr, Node, Shipped
from django_rpc.wire.messages import Request

__all__ = ["KINDS", "kind", "method", "name", "shipped", "writes"]

#: Every result of `kind`. The verbs of methods and saves depend on the node.
KINDS = tuple(
    dict.fromkeys(
        ["read", "create", "update", "delete", "call", "several"]
        + [node_kind.operation for node_kind in nodes.KINDS.values() if isinstance(node_kind.operation, str)]
        + ["explain"]
    )
)
#: Maximum number of steps of a chain between a node and its model, and of names in a list.
_STEPS, _NAMES = 100, 20


def kind(request: Request) -> str:
    """Return the kind of operation of a request, which is one of `KINDS`.

    >>> from django_rpc.graph.nodes import Method, ModelSource
    >>> paid = Method(ModelSource("shop.Order", "rpc"), "filter", (), {"status": "paid"})
    >>> kind(Request(id="1", nodes=(paid.parent, paid, Method(paid, "delete")), outputs=(2,)))
    'delete'
    """
    if request.asking == "explain":
        return "explain"
    operations = {node.operation for node in request.nodes} - {"read"}
    return "several" if len(operations) > 1 else next(iter(operations), "read")


def method(request: Request) -> str:
    """Return the name of the request's output; ``batch`` for several outputs."""
    if len(request.outputs) != 1:
        return "batch"
    return name(request.nodes[request.outputs[0]])


def writes(request: Request) -> list[str]:
    """Return the names of the writes, each once, in their order. The list has a maximum length."""
    names: dict[str, None] = {}
    for node in request.nodes:
        if node.writes:
            names[name(node)] = None
            if len(names) > _NAMES:
                return [*list(names)[:_NAMES], "..."]
    return list(names)


def shipped(request: Request) -> list[str]:
    """Return the names of the functions that the client ships, each with the hash of its code.

    >>> shipped(Request(id="1", nodes=(Shipped("rpc", "margin", python="3.11", code=b"..."),), outputs=(0,)))
    ['margin() sha256:ab5df625bc76dbd4e163bed2dd888df8']
    """
    names: dict[str, None] = {}
    for node in request.nodes:
        if isinstance(node, Shipped) and len(names) < _NAMES:
            names[f"{name(node)} sha256:{hashlib.sha256(node.code).hexdigest()[:32]}"] = None
    return list(names)


def name(node: Node) -> str:
    """Return the name of a node without its arguments.

    >>> from django_rpc.graph.nodes import Method, ModelSource, Save
    >>> name(Method(Method(ModelSource("shop.Order", "rpc"), "filter", (), {"pk": 1}), "update", (), {"total": 5}))
    'shop.Order.update'
    >>> name(Save("shop.Order", "rpc", {"total": 5}, adding=True))
    'shop.Order.save'
    """
    return ".".join(filter(None, [*_path(node), node.step_name]))


def _path(node: Node) -> Iterable[str]:
    """Return the model at the start of a chain, and the relation directly before its last step."""
    parent = getattr(node, "parent", None)
    relation = [parent.name] if isinstance(parent, Attr) else []
    start: Any = node
    for _ in range(_STEPS):
        model = getattr(start, "model", None)
        if model is not None:
            return [model, *relation]
        start = getattr(start, "parent", None)
        if start is None:
            break
    return relation
