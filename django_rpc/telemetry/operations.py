"""What a request asks for, in a few words that hold no value of it: for logs, names of spans, labels of metrics."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from django_rpc.graph.nodes.base import KINDS as NODE_KINDS
from django_rpc.graph.nodes.base import (
    Attr,
    Call,
    DescribeModels,
    Insert,
    Method,
    ModelSource,
    Node,
    RequestOutcome,
    Save,
    ServiceInfo,
)
from django_rpc.graph.nodes.pickled_function import Shipped
from django_rpc.graph.nodes.remote_function import Function, ServiceCall
from django_rpc.wire.messages import Request

__all__ = ["KINDS", "kind", "method", "name", "shipped", "writes"]

#: Everything that `kind` may say.
KINDS = ("read", "create", "update", "delete", "call", "several", "schema", "outcome", "about", "explain")
_OF_METHODS = {
    **dict.fromkeys(("create", "get_or_create", "update_or_create"), "create"),
    "delete": "delete",
    "refresh": "read",
}
_OF_NODES: dict[type[Node], str] = {
    Call: "call",
    Function: "call",
    Shipped: "call",
    Insert: "create",
    DescribeModels: "schema",
    RequestOutcome: "outcome",
    ServiceInfo: "about",
}
_KIND_NAMES = {kind: name for name, kind in NODE_KINDS.items()}
#: Steps of a chain that are walked to find the model that it began with, names that are listed.
_STEPS, _NAMES = 100, 20


def kind(request: Request) -> str:
    """What a request does: one of `KINDS`.

    >>> paid = Method(ModelSource("shop.Order", "rpc"), "filter", (), {"status": "paid"})
    >>> kind(Request(id="1", nodes=(paid.parent, paid, Method(paid, "delete")), outputs=(2,)))
    'delete'
    """
    if request.asking == "explain":
        return "explain"
    found = {_kind(node) for node in request.nodes} - {"read"}
    return "several" if len(found) > 1 else next(iter(found), "read")


def _kind(node: Node) -> str:
    if isinstance(node, Method):
        return _OF_METHODS.get(node.name, "update" if node.writes else "read")
    if isinstance(node, Save):
        return "create" if node.adding else "update"
    return _OF_NODES.get(type(node), "read")


def method(request: Request) -> str:
    """What a request asks for: the name of its one output, ``batch`` where there are several."""
    if len(request.outputs) != 1:
        return "batch"
    return name(request.nodes[request.outputs[0]])


def writes(request: Request) -> list[str]:
    """The names of what writes, each once, in their order; not more than a person reads."""
    found: dict[str, None] = {}
    for node in request.nodes:
        if node.writes:
            found[name(node)] = None
            if len(found) > _NAMES:
                return [*list(found)[:_NAMES], "..."]
    return list(found)


def shipped(request: Request) -> list[str]:
    """The functions that the client ships, each with the hash of its code.

    >>> shipped(Request(id="1", nodes=(Shipped("rpc", "margin", python="3.11", code=b"..."),), outputs=(0,)))
    ['margin() sha256:ab5df625bc76dbd4e163bed2dd888df8']
    """
    found: dict[str, None] = {}
    for node in request.nodes:
        if isinstance(node, Shipped) and len(found) < _NAMES:
            found[f"{name(node)} sha256:{hashlib.sha256(node.code).hexdigest()[:32]}"] = None
    return list(found)


def name(node: Node) -> str:
    """A node without what it is given.

    >>> name(Method(Method(ModelSource("shop.Order", "rpc"), "filter", (), {"pk": 1}), "update", (), {"total": 5}))
    'shop.Order.update'
    >>> name(Save("shop.Order", "rpc", {"total": 5}, adding=True))
    'shop.Order.save'
    """
    if isinstance(node, ModelSource):
        return node.model
    if isinstance(node, Save | Insert):
        return f"{node.model}.{'save' if isinstance(node, Save) else 'bulk_create'}"
    if isinstance(node, ServiceCall):
        return f"{node.name}()"
    own = node.name if isinstance(node, Method | Call | Attr) else _KIND_NAMES[type(node)]
    return ".".join([*_path(node), own])


def _path(node: Node) -> Iterable[str]:
    """The model that a chain begins with, and the relation right before its last step."""
    parent = getattr(node, "parent", None)
    relation = [parent.name] if isinstance(parent, Attr) else []
    for _ in range(_STEPS):
        if parent is None:
            break
        if isinstance(parent, ModelSource | Save):
            return [parent.model, *relation]
        parent = getattr(parent, "parent", None)
    return relation
