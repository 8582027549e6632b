"""What a picture of a graph shows: its steps, put into boxes that can be read."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from django_rpc.graph.format import step
from django_rpc.graph.nodes.base import Literal, LocalCall, ModelSource, Node, Opaque, Operator
from django_rpc.graph.plan.expression_graph import ExpressionGraph
from django_rpc.graph.plan.sites import single_site, sites
from django_rpc.graph.values import Condition

__all__ = ["MANY", "Box", "box_of_node", "boxes_of"]

_LINES = 8  # of a chain are shown
MANY = 24  # boxes: from here on, those that are alike are drawn once
_ALIKE = 4  # boxes that are alike are too many
_AROUND = 4  # edges away from a box, what is there is a part of its looks


class Box(msgspec.Struct):
    """One box: consecutive steps, of which only the last one is used elsewhere."""

    number: int
    nodes: list[Node]
    lines: list[str] = []
    colour: str = "read"
    service: str = ""
    output: bool = False
    where: str = ""
    count: int = 1
    others: list[Node] = []  # the steps of the boxes that this one is drawn for


def boxes_of(
    graph: ExpressionGraph,
    collapse: bool = True,
    apart: Collection[Node] = (),
    outside: Mapping[Node, str] | None = None,
    service: str | None = None,
    many: int = MANY,
) -> tuple[list[Box], dict[tuple[int, int], str]]:
    """The boxes of a graph, and the labelled edges between them by their numbers.

    With ``collapse``, a step joins the box of what it is called on, where nothing else uses that.  A write ends its
    box, since what comes after it happens after it.  The nodes ``apart`` have a box of their own each.
    In a part of a graph, all of which is at one ``service``, so have the values from ``outside``, each with the place
    that it comes from.  With more boxes than ``many``, those that are alike are drawn once.
    """
    apart, outside = set(apart), outside or {}
    single = apart.union(outside)
    users: dict[Node, set[Node]] = {}
    for node in graph.nodes:
        for one in node.inputs():
            users.setdefault(one, set()).add(node)
    outputs = set(graph.outputs)
    # All rows of a model cost nothing, and nearly everything stands on them: each box says it for itself.
    said = {
        node
        for node in graph.nodes
        if collapse and isinstance(node, ModelSource) and node not in single and _is_base(node, users, outputs)
    }
    box_of: dict[Node, Box] = {}
    boxes: list[Box] = []
    for node in graph.nodes:
        before = _before(node)
        if node in said:
            continue
        joins = collapse and before in box_of and not single & {node, before}
        if joins and _is_continued(node, before, users, outputs):
            box_of[node] = box_of[before]
            box_of[node].nodes.append(node)
        else:
            box_of[node] = Box(len(boxes), [before, node] if before in said else [node])
            boxes.append(box_of[node])
    if service is None:
        sites_of = sites(graph.nodes)
    else:
        sites_of = {node: frozenset([outside.get(node, service)]) for node in graph.nodes}
    for box in boxes:
        _dress(box, outputs, sites_of)
    edges: dict[tuple[int, int], str] = {}
    for node in box_of:
        for one in node.inputs():
            if one not in box_of:
                continue
            start, end = box_of[one].number, box_of[node].number
            if start != end:
                label = _role(node, one)
                edges[start, end] = ", ".join(filter(None, dict.fromkeys([edges.get((start, end), ""), label])))
    if collapse and len(boxes) > many:
        return _stacked(boxes, edges, apart)
    return boxes, edges


def box_of_node(boxes: Iterable[Box]) -> dict[Node, Box]:
    """The box that shows each node, or one that is like it."""
    return {node: box for box in boxes for node in (*box.nodes, *box.others)}


def _before(node: Node) -> Node:
    """What a step continues: what it is called on, or the sum that a sum goes on with; the step itself otherwise."""
    parent: Node | None = getattr(node, "parent", None)
    if parent is not None:
        return parent
    if isinstance(node, Operator) and isinstance(node.args[0], Operator):
        return node.args[0]
    return node


def _is_base(node: Node, users: dict[Node, set[Node]], outputs: set[Node]) -> bool:
    """Whether a ModelSource is only stood on, and neither asked for nor an argument."""
    return node not in outputs and all(
        sum(1 for one in user.inputs() if one is node) == 1 and _before(user) is node for user in users.get(node, ())
    )


def _is_continued(node: Node, before: Node, users: dict[Node, set[Node]], outputs: set[Node]) -> bool:
    """Whether nothing but ``node``, and that only to stand on, needs ``before``."""
    if node is before or len(users[before]) > 1 or before in outputs or before.writes:
        return False
    return sum(1 for one in node.inputs() if one is before) == 1


def _dress(box: Box, outputs: set[Node], sites_of: dict[Node, frozenset[str]]) -> None:
    last = box.nodes[-1]
    runs = itertools.groupby(text for node in box.nodes if (text := step(node, 48)))
    shown = [
        text if count == 1 else f"{text} × {count:,}" for text, count in ((text, len([*run])) for text, run in runs)
    ]
    if len(shown) > _LINES:
        half = _LINES // 2
        shown = [*shown[:half], f"… {len(shown) - 2 * half + 1:,} more steps", *shown[1 - half :]]
    box.lines = _joined(shown) or [step(last.inputs()[0])]
    if any(node.writes for node in box.nodes):
        box.colour = "write"
    elif isinstance(last, LocalCall):
        box.colour = "local"
    elif isinstance(last, Operator | Literal | Opaque):
        box.colour = "value"
    else:
        box.colour = "query" if last.is_query else "read"
    box.service = single_site(sites_of[last]) or ""
    box.output = last in outputs
    box.where = "{}:{}".format(*last.where) if last.where else ""


def _joined(shown: list[str]) -> list[str]:
    """Short steps on one line: ``Order.objects.all()``, ``.first().name``."""
    lines: list[str] = []
    for text in shown:
        if lines and text[0] in ".[" and len(lines[-1]) + len(text) <= 30 and not lines[-1].startswith("…"):
            lines[-1] += text
        else:
            lines.append(text)
    return lines


def _role(node: Node, one: Node) -> str:
    """The keyword or lookup under which ``node`` takes ``one``; nothing where it just stands on it."""
    named: list[tuple[Any, Any]] = list((getattr(node, "kwargs", None) or getattr(node, "values", None) or {}).items())
    for value in getattr(node, "args", ()):
        if isinstance(value, Condition):
            named += [child for child in value.children if isinstance(child, tuple) and len(child) == 2]
    return next((str(name) for name, value in named if value is one), "")


def _stacked(
    boxes: list[Box], edges: dict[tuple[int, int], str], apart: set[Node]
) -> tuple[list[Box], dict[tuple[int, int], str]]:
    """Boxes with the same steps in the same surroundings, drawn as one with a number; so are branches of many boxes.

    Surroundings are looked at as far as `_AROUND` edges: of a long row of like boxes, those in its middle are one.
    """
    groups: dict[Any, list[Box]] = {}
    for box, look in zip(boxes, _looks(boxes, edges, apart), strict=True):
        groups.setdefault(look, []).append(box)
    drawn = {box.number: box.number for box in boxes}
    for alike in groups.values():
        if len(alike) >= _ALIKE:
            first = alike[0]
            first.count = len(alike)
            first.lines = [*first.lines, f"… and {len(alike) - 1:,} more like this"]
            first.others = [node for box in alike[1:] for node in box.nodes]
            drawn |= {box.number: first.number for box in alike}
    kept: dict[tuple[int, int], str] = {}
    for (start, end), label in edges.items():
        kept.setdefault((drawn[start], drawn[end]), label)
    return [box for box in boxes if drawn[box.number] == box.number], kept


def _looks(boxes: list[Box], edges: dict[tuple[int, int], str], apart: set[Node]) -> list[int]:
    """For each box a number, the same for boxes that look the same as far as `_AROUND` edges away."""
    before: dict[int, set[int]] = {box.number: set() for box in boxes}
    after: dict[int, set[int]] = {box.number: set() for box in boxes}
    for start, end in edges:
        before[end].add(start)
        after[start].add(end)
    own = [
        (
            tuple([(type(node).__name__, getattr(node, "name", "")) for node in box.nodes]),
            box.output,
            box.service,
            box.number if apart.intersection(box.nodes) else None,
        )
        for box in boxes
    ]
    found = _numbered(own)
    for _ in range(_AROUND):
        look = dict(zip(after, found, strict=True))
        found = _numbered(
            [
                (look[number], *(frozenset(map(look.__getitem__, near[number])) for near in (before, after)))
                for number in look
            ]
        )
    return found


def _numbered(keys: Iterable[Any]) -> list[int]:
    """The same number for equal keys."""
    numbers: dict[Any, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]
