"""The content of a node, independent of object identity: its hash, a copy with other inputs, its pickled form."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec.structs import force_setattr

from django_rpc.graph.delayed.local_functions import ByValue, identity
from django_rpc.graph.nodes import ALL_KINDS, LOCAL_KINDS, LocalNode, Node, own_fields
from django_rpc.graph.traversal import topological
from django_rpc.graph.values import ATOMS
from django_rpc.graph.walk import map_leaves

__all__ = ["key", "key_text", "reduce_node", "substitute"]

#: Distinguishes the writes of this process from writes of other processes, when their pickled nodes meet.
_process = os.urandom(8)


def _renew() -> None:
    global _process
    _process = os.urandom(8)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def key(node: Node) -> bytes:
    """Return the hash of a node's content. Equal reads have equal hashes, in every process.

    >>> from django_rpc.graph.nodes import Method, ModelSource
    >>> one, other = (Method(ModelSource("shop.Order", "rpc"), "filter", (), {"total": 5}) for _ in range(2))
    >>> key(one) == key(other)
    True
    >>> key(one) == key(Method(ModelSource("shop.Order", "rpc"), "filter", (), {"total": "5"}))
    False

    A write, a registered call, an impure local call and a random expression each have a unique key. Their pickled
    copies share it, because they are the same write. The key is computed at the first call and then stored in the node.
    """
    if node.digest is None:
        for unhashed in _without_key(node):
            force_setattr(unhashed, "digest", _digest(unhashed))
    assert node.digest is not None
    return node.digest


def key_text(node: Node) -> str:
    """Return the key as text: the label given by the user, or the name of the step and the content's hash.

    >>> from django_rpc.graph.nodes import Literal, Opaque
    >>> key_text(Literal(3)).rpartition("-")[0], key_text(Opaque(object(), label="mine"))
    ('int', 'mine')
    """
    label: str | None = getattr(node, "label", None)
    if label is not None:
        return label
    return f"{node.key_name}-{key(node).hex()}"


def _without_key(node: Node) -> list[Node]:
    """Return the nodes at and below ``node`` that have no key yet, inputs first."""
    if all(below.digest is not None for below in node.inputs()):
        return [node]
    stack, seen = [node], {node}
    while stack:
        for below in stack.pop().inputs():
            if below.digest is None and below not in seen:
                seen.add(below)
                stack.append(below)
    return sorted(seen, key=lambda below: below.order)


def _digest(node: Node) -> bytes:
    if node.is_unique:
        return _own_digest(node)
    if isinstance(node, LocalNode):
        if node.label is not None:  # equal labels mean equal values
            return hashlib.blake2b(b"label:" + node.label.encode(), digest_size=16).digest()
        try:
            return _content_digest(node)
        except TypeError:  # an object cannot be pickled
            return _own_digest(node)
    return _content_digest(node)


def _own_digest(node: Node) -> bytes:
    return hashlib.blake2b(b"own:%s:%d" % (_process, node.order), digest_size=16).digest()


def _content_digest(node: Node) -> bytes:
    parts = [node.tag.encode()]
    for name in own_fields(type(node)):
        value = getattr(node, name)
        kind = type(value)
        if (kind is tuple or kind is dict) and not value:  # most arguments
            parts.append(b"-" if kind is tuple else b"=")
        else:
            _token(value, parts.append)
    return hashlib.blake2b(b"".join(parts), digest_size=16).digest()


def _token(value: Any, add: Callable[[bytes], object]) -> None:
    """Encode ``value`` so that values with different types or contents have different encodings."""
    kind = type(value)
    if kind is str:
        text = value.encode("utf-8", "surrogatepass")
        add(b"s%d:%s" % (len(text), text))
    elif kind in ATOMS:
        text = _atom(value)
        add(b"a%d:%s" % (len(text), text))
    elif isinstance(value, Node):
        add(b"n")
        add(key(value))
    elif kind in (list, tuple):
        add(b"%s%d(" % (kind.__name__.encode(), len(value)))
        for item in value:
            _token(item, add)
        add(b")")
    elif kind is dict:
        # Keep the order: annotations and the keys of a JSON object are returned in the order of the arguments.
        add(b"dict%d(" % len(value))
        for name, item in value.items():
            _token(name, add)
            _token(item, add)
        add(b")")
    elif kind in (set, frozenset):
        items = sorted(_whole(item) for item in value)
        add(b"set%d(%s)" % (len(items), b"".join(items)))
    elif kind is slice:
        add(b"slice")
        _token((value.start, value.stop, value.step), add)
    elif isinstance(value, msgspec.Struct):  # Expr, Condition, Reference
        add(kind.__name__.encode())
        for name in value.__struct_fields__:
            _token(getattr(value, name), add)
    else:  # objects of the client: raises TypeError for an object without comparable content
        text = identity(value)
        add(b"o%d:%s" % (len(text), text))


def _whole(value: Any) -> bytes:
    parts: list[bytes] = []
    _token(value, parts.append)
    return b"".join(parts)


def _atom(value: Any) -> bytes:
    if type(value) is int:
        return b"int%x" % value  # repr() refuses integers of more than 4300 digits
    # repr distinguishes 1, True and 1.0; Decimal("1.0") and Decimal("1.00"); and the two folds of a time.
    return f"{type(value).__name__}{value!r}".encode()


def substitute(node: Node, replaced: Mapping[Node, Node]) -> Node:
    """Copy ``node`` with other inputs, at the same place in the order; return ``node`` if no input is replaced.

    >>> from django_rpc.graph.nodes import Method, ModelSource
    >>> orders, clients = ModelSource("shop.Order", "rpc"), ModelSource("shop.Client", "rpc")
    >>> count = Method(orders, "count")
    >>> substitute(count, {orders: clients}).parent.model
    'shop.Client'
    >>> substitute(count, {}) is count
    True
    """
    inputs = node.inputs()
    if replaced.keys().isdisjoint(inputs):
        return node
    fields = {name: getattr(node, name) for name in own_fields(type(node))}
    direct = {name: value for name, value in fields.items() if isinstance(value, Node)}
    fields |= {name: replaced.get(value, value) for name, value in direct.items()}
    if len(direct) < len(inputs):  # other inputs are inside arguments
        fields |= {name: _swap(value, Node, replaced) for name, value in fields.items() if name not in direct}
    digest = node.digest if node.digest is not None and node.is_unique else None
    fields |= {"where": node.where, "is_query": node.is_query, "order": node.order, "link": node.link}
    return type(node)(**fields, digest=digest)


def _swap(value: Any, leaf_type: type, replaced: Mapping[Any, Any]) -> Any:
    """Replace the leaves of ``leaf_type`` inside ``value``."""
    return map_leaves(value, lambda leaf: replaced.get(leaf, leaf) if isinstance(leaf, leaf_type) else leaf)


# -- pickles ------------------------------------------------------------------------------------------------


class _At(msgspec.Struct, frozen=True):
    """Reference to a node by its position in the pickled list of nodes."""

    index: int


def reduce_node(node: Node) -> tuple[Callable[..., Node], tuple[Any, ...]]:
    """Reduce a node to a flat list of its graph, because pickle would recurse as deep as the graph."""
    nodes = topological([node])
    places = {member: _At(index) for index, member in enumerate(nodes)}
    cells = []
    for member in nodes:
        # Two copies of a write are one write and must have equal keys, so the key is pickled too.
        digest = key(member) if member.is_unique else None
        values = tuple([_swap(getattr(member, name), Node, places) for name in own_fields(type(member))])
        kind = member.tag
        local = {"where": member.where, "is_query": member.is_query, "digest": digest, "link": member.link}
        cells.append((kind, ByValue(values) if kind in LOCAL_KINDS else values, local))
    return _restore, (cells,)


def _restore(cells: list[tuple[str, Any, dict[str, Any]]]) -> Node:
    nodes: dict[_At, Node] = {}
    for index, (kind_name, values, local) in enumerate(cells):
        kind = ALL_KINDS[kind_name]
        values = values.value if isinstance(values, ByValue) else values
        fields = dict(zip(own_fields(kind), [_swap(value, _At, nodes) for value in values], strict=True))
        nodes[_At(index)] = kind(**fields, **local)
    return nodes[_At(len(cells) - 1)]
