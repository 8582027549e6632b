"""A graph in the language of Graphviz: boxes of steps, a frame for each service, and a failed node in red."""

from __future__ import annotations

import linecache
import os
from collections.abc import Iterable, Mapping
from typing import Any

from django_rpc.graph.draw.layout import Box, box_of_node, boxes_of
from django_rpc.graph.format import shorten
from django_rpc.graph.nodes import Node
from django_rpc.graph.plan.collect import collect
from django_rpc.graph.plan.rewrites import rewrite
from django_rpc.graph.traversal import as_node

__all__ = ["drawn", "edge", "header", "legend", "quoted", "to_dot"]

#: Fill and border of each kind of box.
_COLOURS = {
    "query": ("#eaf3fb", "#4a7ba6"),
    "read": ("#cfe6f7", "#2f6690"),
    "write": ("#ffd9b3", "#b85c00"),
    "value": ("#f1f1f1", "#7a7a7a"),
    "local": ("#dcefd6", "#4d7a3e"),
    "failed": ("#f8c9c9", "#b00020"),
}
_WORDS = {
    "query": "pale blue: query",
    "read": "blue: read",
    "write": "orange: write",
    "value": "grey: value",
    "local": "green: runs in the client",
    "failed": "red: failed",
}
_FONT = "Helvetica"  # a single name, because Graphviz estimates widths from another font for a list
_CODE = 76  # maximum of characters of a line of code


def to_dot(
    outputs: Iterable[Any],
    *,
    optimize_graph: bool = False,
    collapse: bool = True,
    rankdir: str = "TB",
    title: str = "",
    failed: Node | None = None,
) -> str:
    """Return the graph below ``outputs`` in the language of Graphviz.

    Consecutive steps without other users share a box, unless ``collapse`` is False. In a large graph, boxes that differ
    only in their values are drawn once. Boxes of one service are in one frame. The node ``failed`` has a separate red
    box, with the line of the program that built it.

    >>> from django_rpc.graph.nodes import Method, ModelSource
    >>> print(to_dot([Method(ModelSource("shop.Order", "rpc"), "count")]).splitlines()[0])
    digraph "django_rpc" {

    Raises TypeError for an output without a node.
    """
    graph = collect([as_node(output) for output in outputs])
    if optimize_graph:
        graph = rewrite(graph)
    boxes, edges = boxes_of(graph, collapse=collapse, apart=() if failed is None else (failed,))
    if failed is not None and (box := box_of_node(boxes).get(failed)) is not None:
        box.colour = "failed"
        box.lines = [*box.lines, *_written(failed)]
    lines = header(rankdir, title or legend(boxes))
    services = sorted({box.service for box in boxes if box.service})
    for number, service in enumerate(services):
        lines.append(f"  subgraph cluster_{number} {{")
        lines.append(
            f"    label={quoted('service ' + service)} labelloc=t labeljust=l style=rounded color={quoted('#9aa5b1')};"
        )
        lines += ["    " + drawn(box) for box in boxes if box.service == service]
        lines.append("  }")
    lines += ["  " + drawn(box) for box in boxes if not box.service]
    lines += [
        edge(f"b{start}", f"b{end}", {"label": " " + label} if label else {}) for (start, end), label in edges.items()
    ]
    return "\n".join([*lines, "}", ""])


def _written(node: Node) -> list[str]:
    """Return the file, line and code where the user wrote a node."""
    if node.where is None:
        return []
    path, number = node.where
    code = linecache.getline(path, number).strip()
    return [f"{os.path.basename(path)}:{number}", *([shorten(code, _CODE)] if code else [])]


def header(rankdir: str, label: str) -> list[str]:
    """Return the first lines of a picture: its direction, its fonts and the text below it."""
    return [
        'digraph "django_rpc" {',
        f"  graph [rankdir={quoted(rankdir)} fontname={quoted(_FONT)} fontsize=11 nodesep=0.25 ranksep=0.4 "
        f"compound=true labelloc=b label={quoted(label)}];",
        f"  node [shape=box style={quoted('rounded,filled')} fontname={quoted(_FONT)} fontsize=11 "
        f"margin={quoted('0.12,0.07')} height=0.3];",
        f"  edge [color={quoted('#666666')} arrowsize=0.7 fontname={quoted(_FONT)} fontsize=9 "
        f"fontcolor={quoted('#555555')}];",
    ]


def drawn(box: Box, prefix: str = "b", notes: Iterable[str] = (), fill: str | None = None) -> str:
    """Return the line of a box, with ``notes`` below its steps."""
    box_fill, border = _COLOURS[box.colour]
    extra = " peripheries=2 penwidth=1.4" if box.output else ""
    tip = f" tooltip={quoted(box.where)}" if box.where else ""
    return (
        f"{prefix}{box.number} [label={_label([*box.lines, *notes])} fillcolor={quoted(fill or box_fill)} "
        f"color={quoted(border)}{extra}{tip}];"
    )


def edge(start: str, end: str, attributes: Mapping[str, Any]) -> str:
    """Return the line of an edge between the names of two boxes."""
    pairs = " ".join(f"{name}={quoted(str(value))}" for name, value in attributes.items())
    return f"  {start} -> {end}" + (f" [{pairs}]" if pairs else "") + ";"


def legend(boxes: Iterable[Box]) -> str:
    """Return the meaning of the colours of these boxes."""
    kinds = {box.colour for box in boxes}
    return ", ".join([text for kind, text in _WORDS.items() if kind in kinds] + ["double border: result"])


def _label(lines: Iterable[str]) -> str:
    """Return a label of left-justified lines."""
    return '"' + "".join(_escaped(line) + "\\l" for line in lines) + '"'


def quoted(text: str) -> str:
    """Return text as a string of the dot language."""
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ").replace("\r", " ")
