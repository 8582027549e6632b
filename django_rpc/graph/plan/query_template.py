"""The shape of a read: a read without its values.

Reads of one shape differ only in their values. One statement can answer all of them if each value is in a position
where SQL can distinguish the rows of different values. The server evaluates by shape, and ``plan.explain()`` uses
shapes to report the reads that need a statement each.

>>> from django_rpc.graph.nodes import Method, ModelSource
>>> one, other = (Method(ModelSource("shop.Order", "rpc"), "get", (), {"pk": pk}) for pk in (1, 2))
>>> shape_of(one).key == shape_of(other).key
True
>>> [leaf.value for leaf in shape_of(other).leaves], shape_of(one).leaves[0].lookup
([2], 'pk')
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django_rpc.graph.nodes import Attr, Item, Method, ModelSource, Node, Rows
from django_rpc.graph.values import ATOMS, Condition, Expr, Reference
from django_rpc.graph.vocabulary import names as vocabulary

__all__ = ["NESTED", "TERMINALS", "Leaf", "Shape", "differing", "is_asked", "is_step", "mixed", "obstacle", "shape_of"]

#: The methods that read from a query; many calls of them can share one statement.
TERMINALS = frozenset("get first last earliest latest count exists aggregate".split())
#: Terminal methods that can be a subquery in a statement about the elements.
NESTED = frozenset("first last count exists aggregate".split())
#: Steps that make it impossible, or not simple, to distinguish the rows of different values afterwards.
_OPAQUE = frozenset("union intersection difference and_ or_ xor none dates datetimes select_for_update".split())
_AGGREGATES = frozenset("Avg Count Max Min StdDev Sum Variance".split()) | vocabulary.POSTGRES_AGGREGATES
#: Methods that return a query.
_QUERIES = frozenset({name for name, spec in vocabulary.METHODS.items() if spec.returns_query})
#: Methods with lookups as keywords, which allow to distinguish their rows by a column.
_TELLING = frozenset({"filter", "get", "filter_reuse"})


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value of a shape. ``lookup`` is set if the step narrows the rows to ``lookup=value``."""

    value: Any
    step: int
    lookup: str | None = None


@dataclass(slots=True)
class Shape:
    """``steps`` are the nodes from the first step of the query to the step that reads; ``anchor`` is their input."""

    key: Hashable
    anchor: Node
    steps: tuple[Node, ...]
    leaves: list[Leaf] = field(default_factory=list)


def is_step(node: Node) -> bool:
    """Return True if ``node`` is a query, or a step that makes a query of any value. Nothing is read for it."""
    kind = type(node)
    while kind is Item and isinstance(node.key, slice):  # type: ignore[attr-defined]
        node = node.parent  # type: ignore[attr-defined]
        kind = type(node)
    if kind is Method:
        return node.name in _QUERIES  # type: ignore[attr-defined]
    return kind is ModelSource


def is_asked(node: Node) -> bool:
    """Return True if ``node`` reads from a query: rows, a single row, a count. Many reads can share one statement."""
    if isinstance(node, Method):
        return node.name in TERMINALS
    return isinstance(node, Rows) or (isinstance(node, Item) and not is_step(node) and is_step(node.parent))


def shape_of(node: Node) -> Shape:
    """Return the shape of a read: of a terminal method, of rows, of a relation of an instance, or of a query itself."""
    steps: list[Node] = []
    below: Node = node
    if not is_step(node):
        steps.append(node)
        below = getattr(node, "parent", node)
    while is_step(below) and not below.is_source:
        steps.append(below)
        below = below.parent  # type: ignore[attr-defined]
    steps.reverse()
    leaves: list[Leaf] = []
    parts: list[Any] = [(below.model, below.base) if isinstance(below, ModelSource) else None]
    for position, step in enumerate(steps):
        parts.append(_step(step, position, leaves))
    return Shape(tuple(parts), below, tuple(steps), leaves)


def _step(node: Node, position: int, leaves: list[Leaf]) -> Hashable:
    if isinstance(node, Method):
        telling = node.name in _TELLING
        args = tuple([_value(value, position, leaves, _and_pairs(value) if telling else None) for value in node.args])
        named = tuple(
            [(key, _value(item, position, leaves, None, key if telling else None)) for key, item in node.kwargs.items()]
        )
        return "method", node.name, args, named
    if isinstance(node, Item):
        return "item", _value(node.key, position, leaves)
    if isinstance(node, Rows):
        return "rows", node.columns
    if isinstance(node, Attr):
        return "attr", node.name
    return type(node).__name__, id(node)


def _and_pairs(value: Any) -> Condition | None:
    return value if isinstance(value, Condition) and value.connector == "AND" and not value.negated else None


def _value(
    value: Any, step: int, leaves: list[Leaf], telling: Condition | None = None, lookup: str | None = None
) -> Hashable:
    """Return the shape of one argument; add its values to ``leaves``."""
    kind = type(value)
    if kind in ATOMS or kind is Reference or kind in (set, frozenset):
        leaves.append(Leaf(value, step, lookup))
        return "_"
    if isinstance(value, Node):
        if is_step(value):
            inner = shape_of(value)
            leaves.extend(Leaf(leaf.value, step) for leaf in inner.leaves)
            leaves.append(Leaf(None if isinstance(inner.anchor, ModelSource) else inner.anchor, step))
            return "query", inner.key
        leaves.append(Leaf(value, step, lookup))
        return "_"
    if kind in (list, tuple):
        if all(type(item) in ATOMS for item in value):
            leaves.append(Leaf(value, step, None))
            return "_"
        return kind.__name__, tuple([_value(item, step, leaves) for item in value])
    if kind is dict:
        return "dict", tuple([(_value(k, step, leaves), _value(v, step, leaves)) for k, v in value.items()])
    if kind is slice:
        return "slice", tuple([_value(part, step, leaves) for part in (value.start, value.stop, value.step)])
    if kind is Expr:
        return value.name, _value(value.args, step, leaves), _value(value.kwargs, step, leaves)
    if kind is Condition:
        children = tuple([_child(child, step, leaves, telling is value) for child in value.children])
        return value.connector, value.negated, children
    return kind.__name__, id(value)


def _child(child: Any, step: int, leaves: list[Leaf], telling: bool) -> Hashable:
    if isinstance(child, tuple):
        return child[0], _value(child[1], step, leaves, None, child[0] if telling else None)
    return _value(child, step, leaves, _and_pairs(child) if telling else None)


def differing(shapes: Sequence[Shape]) -> list[int]:
    """Return the positions among the leaves where shapes with equal keys have different values."""
    first = shapes[0].leaves
    return [
        position
        for position, leaf in enumerate(first)
        if any(not _same(leaf.value, other.leaves[position].value) for other in shapes)
    ]


def _same(one: Any, other: Any) -> bool:
    return one is other or (
        not isinstance(one, Node) and type(one) is type(other) and bool(one == other) and repr(one) == repr(other)
    )


def _groups(node: Node) -> bool:
    """Return True if the step annotates with an aggregate, as far as this process can detect it."""
    if not isinstance(node, Method) or node.name not in ("annotate", "alias"):
        return False
    return any(type(value) is Expr and value.name in _AGGREGATES for value in (*node.args, *node.kwargs.values()))


def mixed(shape: Shape) -> str | None:
    """Return the step that combines rows although a later step needs separate rows; None if there is no such step."""
    last = shape.steps[-1]
    all_rows = not is_asked(last) and not any(isinstance(step, Item) for step in shape.steps)
    names = {step.name for step in shape.steps if isinstance(step, Method)}
    if not all_rows or names & {"values", "values_list"}:
        grouped = next((step for step in shape.steps if _groups(step)), None)
        if grouped is not None:
            return str(grouped.name)  # type: ignore[attr-defined]
    if "distinct" in names and not all_rows and getattr(last, "name", "") != "exists":
        return "distinct"
    return None


def obstacle(shape: Shape, positions: Sequence[int]) -> str | None:
    """Return the reason why reads of this shape, with differences at these leaves, need a statement each; or None.

    The server may have other reasons, for example a lookup through a to-many relation, or a column that is not a key.
    """
    for node in shape.steps:
        if node.method_name in _OPAQUE:
            return f".{node.method_name}() makes one query of several, or locks"
    mixing = mixed(shape)
    if mixing is not None:
        return f".{mixing}() combines rows, which cannot be separated afterwards"
    last = shape.steps[-1]
    if not (is_asked(last) or is_step(last) or isinstance(last, Attr)):
        return "it is not one of " + ", ".join(sorted(TERMINALS))
    for position in positions:
        leaf = shape.leaves[position]
        if leaf.lookup is None:
            return "a value differs that is not the value of a lookup"
        if "__" in leaf.lookup and leaf.lookup.rpartition("__")[2] in vocabulary.LOOKUPS - {"exact"}:
            return f"{leaf.lookup}=... does not tell by a column which rows belong to which value"
    return None
