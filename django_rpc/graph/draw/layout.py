"""The boxes of a picture: the steps of a graph, grouped so that the picture is readable."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec
import networkx

from django_rpc.graph.format import step
from django_rpc.graph.nodes import Literal, LocalCall, Node, Opaque, Operator
from django_rpc.graph.plan.expression_graph import ExpressionGraph
from django_rpc.graph.plan.sites import single_site, sites
from django_rpc.graph.values import Condition

__all__ = ["MANY", "Box", "box_of_node", "boxes_of"]

_LINES = 8  # maximum of lines of a box
MANY = 24  # with more boxes, equal boxes are drawn once
_REPEATED = 4  # this many equal boxes are drawn once
_RADIUS = 4  # edges around a box within which equal boxes have equal surroundings

Edges = dict[tuple[int, int], str]


class Box(msgspec.Struct):
    """Consecutive steps, of which only the last one has other users. ``others`` are steps of equal boxes."""

    number: int
    nodes: list[Node]
    lines: list[str] = []
    colour: str = "read"
    service: str = ""
    output: bool = False
    where: str = ""
    count: int = 1
    others: list[Node] = []


def boxes_of(
    graph: ExpressionGraph,
    collapse: bool = True,
    apart: Collection[Node] = (),
    outside: Mapping[Node, str] | None = None,
    service: str | None = None,
    many: int = MANY,
) -> tuple[list[Box], Edges]:
    """Return the boxes of a graph, and the labels of the edges between their numbers.

    With ``collapse``, a step without other users joins the box of its parent. A write ends its box, because the next
    step follows the write. Each of the nodes ``apart`` has a separate box. ``service`` is the service of all nodes of a
    stage, except those of ``outside``, which have their places there. With more boxes than ``many``, equal boxes are
    drawn once.
    """
    apart, outside = set(apart), outside or {}
    single = apart.union(outside)
    links = networkx.DiGraph()
    links.add_nodes_from(graph.nodes)
    links.add_edges_from((below, node) for node in graph.nodes for below in node.inputs())
    outputs = set(graph.outputs)
    # A source that is used only as a parent has no box: each box of its users shows it.
    hidden = {
        node
        for node in graph.nodes
        if collapse and node.is_source and node not in single and _is_base(node, links, outputs)
    }
    box_of: dict[Node, Box] = {}
    boxes: list[Box] = []
    for node in graph.nodes:
        before = _continued(node)
        if node in hidden:
            continue
        joins = collapse and before in box_of and not single & {node, before}
        if joins and _has_one_user(before, node, links, outputs):
            box_of[node] = box_of[before]
            box_of[node].nodes.append(node)
        else:
            box_of[node] = Box(len(boxes), [before, node] if before in hidden else [node])
            boxes.append(box_of[node])
    if service is None:
        sites_of = sites(graph.nodes)
    else:
        sites_of = {node: frozenset([outside.get(node, service)]) for node in graph.nodes}
    for box in boxes:
        _describe(box, outputs, sites_of)
    edges: Edges = {}
    for start, end in links.edges:
        if start in box_of and end in box_of and box_of[start] is not box_of[end]:
            pair = box_of[start].number, box_of[end].number
            edges[pair] = ", ".join(filter(None, dict.fromkeys([edges.get(pair, ""), _role(end, start)])))
    if collapse and len(boxes) > many:
        return _without_repetition(boxes, edges, apart)
    return boxes, edges


def box_of_node(boxes: Iterable[Box]) -> dict[Node, Box]:
    """Return the box of each node, or the box that is drawn in its place."""
    return {node: box for box in boxes for node in (*box.nodes, *box.others)}


def _continued(node: Node) -> Node:
    """Return the parent of a step, or the operator that is the first operand of an operator; otherwise the step."""
    parent: Node | None = getattr(node, "parent", None)
    if parent is not None:
        return parent
    if isinstance(node, Operator) and isinstance(node.args[0], Operator):
        return node.args[0]
    return node


def _is_base(node: Node, links: networkx.DiGraph, outputs: set[Node]) -> bool:
    """Return True if a source is only a parent: neither an output nor an argument."""
    return node not in outputs and all(
        user.inputs().count(node) == 1 and _continued(user) is node for user in links.succ[node]
    )


def _has_one_user(node: Node, user: Node, links: networkx.DiGraph, outputs: set[Node]) -> bool:
    """Return True if only ``user`` needs ``node``, and only as its parent."""
    if user is node or len(links.succ[node]) > 1 or node in outputs or node.writes:
        return False
    return user.inputs().count(node) == 1


def _describe(box: Box, outputs: set[Node], sites_of: Mapping[Node, frozenset[str]]) -> None:
    """Set the text, the colour and the place of a box."""
    last = box.nodes[-1]
    runs = itertools.groupby(text for node in box.nodes if (text := step(node, 48)))
    texts = [f"{text} × {count:,}" if (count := len([*run])) > 1 else text for text, run in runs]
    if len(texts) > _LINES:
        half = _LINES // 2
        texts = [*texts[:half], f"… {len(texts) - 2 * half + 1:,} more steps", *texts[1 - half :]]
    box.lines = _joined(texts) or [step(last.inputs()[0])]
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


def _joined(texts: list[str]) -> list[str]:
    """Join short steps to lines: ``Order.objects.all()``, ``.first().name``."""
    lines: list[str] = []
    for text in texts:
        if lines and text[0] in ".[" and len(lines[-1]) + len(text) <= 30 and not lines[-1].startswith("…"):
            lines[-1] += text
        else:
            lines.append(text)
    return lines


def _role(node: Node, argument: Node) -> str:
    """Return the keyword or lookup of an argument of ``node``; an empty text for its parent."""
    pairs: list[tuple[Any, Any]] = list((getattr(node, "kwargs", None) or getattr(node, "values", None) or {}).items())
    for value in getattr(node, "args", ()):
        if isinstance(value, Condition):
            pairs += [child for child in value.children if isinstance(child, tuple) and len(child) == 2]
    return next((str(name) for name, value in pairs if value is argument), "")


def _without_repetition(boxes: list[Box], edges: Edges, apart: set[Node]) -> tuple[list[Box], Edges]:
    """Draw boxes with equal steps and equal surroundings once, with their number."""
    groups: dict[int, list[Box]] = {}
    surroundings = _surroundings(boxes, edges, apart)
    for box in boxes:
        groups.setdefault(surroundings[box.number], []).append(box)
    drawn = {box.number: box.number for box in boxes}
    for first, *rest in groups.values():
        if len(rest) + 1 >= _REPEATED:
            first.count = len(rest) + 1
            first.lines = [*first.lines, f"… and {len(rest):,} more like this"]
            first.others = [node for box in rest for node in box.nodes]
            drawn |= {box.number: first.number for box in rest}
    drawn_edges: Edges = {}
    for (start, end), label in edges.items():
        drawn_edges.setdefault((drawn[start], drawn[end]), label)
    return [box for box in boxes if drawn[box.number] == box.number], drawn_edges


def _surroundings(boxes: list[Box], edges: Edges, apart: set[Node]) -> dict[int, int]:
    """Return equal numbers for boxes that look equal up to `_RADIUS` edges away.

    This is Weisfeiler-Lehman refinement with sets of neighbours. The hashes of networkx count equal neighbours, so two
    lists of different length would be different boxes.
    """
    graph = networkx.DiGraph()
    graph.add_nodes_from(box.number for box in boxes)
    graph.add_edges_from(edges)
    looks: dict[int, Any] = {}
    for box in boxes:
        steps = tuple([(type(node).__name__, getattr(node, "name", "")) for node in box.nodes])
        looks[box.number] = (steps, box.output, box.service, box.number if apart.intersection(box.nodes) else None)
    for _ in range(_RADIUS + 1):
        ranks: dict[Any, int] = {}
        colours = {number: ranks.setdefault(look, len(ranks)) for number, look in looks.items()}
        looks = {
            number: (
                colour,
                frozenset(colours[before] for before in graph.pred[number]),
                frozenset(colours[after] for after in graph.succ[number]),
            )
            for number, colour in colours.items()
        }
    return colours
