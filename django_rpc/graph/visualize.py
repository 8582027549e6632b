"""Pictures of graphs: what is computed, from what, where."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django_rpc.graph.boxes import Box, boxes_of
from django_rpc.graph.dag import as_node
from django_rpc.graph.planner import collect, rewrite
from django_rpc.graph.render import render

__all__ = ["Picture", "to_dot", "visualize"]

#: Fill and border by what a box does.
_COLOURS = {
    "query": ("#eaf3fb", "#4a7ba6"),
    "read": ("#cfe6f7", "#2f6690"),
    "write": ("#ffd9b3", "#b85c00"),
    "value": ("#f1f1f1", "#7a7a7a"),
    "local": ("#dcefd6", "#4d7a3e"),
}
_FONT = "Helvetica"  # one name: with a list, widths are guessed from another font


class Picture:
    """A drawn graph: ``data`` in its ``format``, and the ``path`` it was written to.  Notebooks show it."""

    def __init__(self, data: bytes, format: str, path: Path | None) -> None:
        self.data = data
        self.format = format
        self.path = path

    def __repr__(self) -> str:
        where = f"{str(self.path)!r}" if self.path is not None else f"{len(self.data):,} bytes"
        return f"<Picture {self.format} {where}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        if self.format == "svg":
            return {"image/svg+xml": self.data.decode(), "text/plain": repr(self)}
        if self.format in ("png", "jpeg"):
            return {f"image/{self.format}": self.data, "text/plain": repr(self)}
        return {"text/plain": self.data.decode() if self.format == "dot" else repr(self)}


def visualize(
    outputs: Iterable[Any],
    filename: str | None = "django_rpc",
    format: str | None = None,
    optimize_graph: bool = False,
    **options: Any,
) -> Any:
    """Draws what ``outputs`` need, into ``filename`` (None: no file), as PNG, SVG, PDF, JPEG or dot text.

    The format is that of the argument, or the filename's suffix, or PNG.  ``optimize_graph`` draws the graph after
    the rewrites; the other options are those of `to_dot`.  Returns a `Picture`, or in IPython its own object.

        visualize([order, total], filename="order.svg")

    Raises MissingExtra where Graphviz is missing, ValueError for an unknown format.
    """
    path = None if filename is None else Path(filename)
    if format is None:
        format = path.suffix[1:].lower() if path is not None and path.suffix else "png"
    format = {"jpg": "jpeg", "gv": "dot"}.get(format, format)
    data = render(to_dot(outputs, optimize_graph=optimize_graph, **options), format)
    if path is not None:
        if not path.suffix:
            path = path.with_suffix("." + format)
        path.write_bytes(data)
    return _display(data, format) or Picture(data, format, path)


def _display(data: bytes, format: str) -> Any:
    """IPython's object for a picture, inside IPython; None elsewhere."""
    if "IPython" not in sys.modules or format not in ("png", "jpeg", "svg"):
        return None
    ipython = importlib.import_module("IPython")
    display = importlib.import_module("IPython.display")
    if ipython.get_ipython() is None:
        return None
    return display.SVG(data) if format == "svg" else display.Image(data, format=format)


def to_dot(
    outputs: Iterable[Any], *, optimize_graph: bool = False, collapse: bool = True, rankdir: str = "TB", title: str = ""
) -> str:
    """The graph below ``outputs`` in Graphviz's language.

    Steps that follow each other, and lead nowhere else, share a box (not with ``collapse=False``); in a large graph,
    boxes that differ in their values alone are drawn once.  Boxes of one service stand in one frame.

    >>> from django_rpc.graph.node import Method, Source
    >>> print(to_dot([Method(Source("shop.Order", "rpc"), "count")]).splitlines()[0])
    digraph "django_rpc" {

    Raises TypeError for an output without a node.
    """
    draft = collect([as_node(output) for output in outputs])
    if optimize_graph:
        draft = rewrite(draft)
    boxes, edges = boxes_of(draft, collapse=collapse)
    lines = [
        'digraph "django_rpc" {',
        f"  graph [rankdir={_quoted(rankdir)} fontname={_quoted(_FONT)} fontsize=11 nodesep=0.25 ranksep=0.4 "
        f"labelloc=b label={_quoted(title or _legend(boxes))}];",
        f"  node [shape=box style={_quoted('rounded,filled')} fontname={_quoted(_FONT)} fontsize=11 "
        f"margin={_quoted('0.12,0.07')} height=0.3];",
        f"  edge [color={_quoted('#666666')} arrowsize=0.7 fontname={_quoted(_FONT)} fontsize=9 "
        f"fontcolor={_quoted('#555555')}];",
    ]
    services = sorted({box.service for box in boxes if box.service})
    for number, service in enumerate(services):
        lines.append(f"  subgraph cluster_{number} {{")
        lines.append(
            f"    label={_quoted('service ' + service)} labelloc=t labeljust=l "
            f"style=rounded color={_quoted('#9aa5b1')};"
        )
        lines += ["    " + _drawn(box) for box in boxes if box.service == service]
        lines.append("  }")
    lines += ["  " + _drawn(box) for box in boxes if not box.service]
    lines += [
        f"  b{start} -> b{end}" + (f" [label={_quoted(' ' + label)}]" if label else "") + ";"
        for (start, end), label in edges.items()
    ]
    return "\n".join([*lines, "}", ""])


def _drawn(box: Box) -> str:
    fill, border = _COLOURS[box.colour]
    extra = " peripheries=2 penwidth=1.4" if box.output else ""
    tip = f" tooltip={_quoted(box.where)}" if box.where else ""
    return f"b{box.number} [label={_label(box.lines)} fillcolor={_quoted(fill)} color={_quoted(border)}{extra}{tip}];"


def _legend(boxes: Iterable[Box]) -> str:
    kinds = {box.colour for box in boxes}
    words = {"query": "pale blue: query", "read": "blue: read", "write": "orange: write", "value": "grey: value"}
    words |= {"local": "green: runs in the client"}
    return ", ".join([text for kind, text in words.items() if kind in kinds] + ["double border: result"])


def _label(lines: Iterable[str]) -> str:
    """Left-justified lines."""
    return '"' + "".join(_escaped(line) + "\\l" for line in lines) + '"'


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ").replace("\r", " ")
