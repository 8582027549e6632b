"""Pictures of graphs: the values, their inputs and services, and the node that failed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django_rpc.graph.draw.graph_dot import to_dot
from django_rpc.graph.draw.plan_dot import plan_to_dot
from django_rpc.graph.draw.render import render
from django_rpc.graph.errors import FailedGraph, MissingExtra
from django_rpc.graph.plan.pipeline import plan as make_plan
from django_rpc.graph.traversal import topological

__all__ = ["Picture", "draw", "notebook_svg", "to_dot", "visualize", "visualize_error"]

_NODES = 5_000  # a larger graph is not drawn automatically
_SECONDS = 5.0  # time limit of a picture that the user did not request


class Picture:
    """A drawn graph: ``data`` in its ``format``, and the ``path`` of its file. Notebooks display it."""

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
    plan: bool = False,
    **options: Any,
) -> Any:
    """Draw the graph of ``outputs`` into ``filename`` (None: no file), as PNG, SVG, PDF, JPEG or dot text.

    The format is the argument ``format``, or the suffix of ``filename``, or PNG. ``optimize_graph`` draws the graph
    after the rewrites. ``plan`` draws the stages of the plan. Each stage is a frame in the color of its service. Thick
    edges are messages between the client and services, and dashed edges are values that services send to each other.
    The other options are the options of `to_dot` and `plan_to_dot`. Returns a `Picture`, or in IPython its display
    object.

        visualize([order, total], filename="order.svg", plan=True)

    Raises MissingExtra if Graphviz is missing, and ValueError for an unknown format.
    """
    if plan:
        outputs = list(outputs)
        made = make_plan(outputs)
        text = plan_to_dot(made, routing=made.routing(), **options)
    else:
        text = to_dot(outputs, optimize_graph=optimize_graph, **options)
    return draw(text, filename, format)


def draw(dot: str, filename: str | None, format: str | None, default: str = "png") -> Any:
    """Return the picture of dot text, in the form that `visualize` returns."""
    path = None if filename is None else Path(filename)
    if format is None:
        format = path.suffix[1:].lower() if path is not None and path.suffix else default
    format = {"jpg": "jpeg", "gv": "dot"}.get(format, format)
    data = render(dot, format)
    if path is not None:
        if not path.suffix:
            path = path.with_suffix("." + format)
        path.write_bytes(data)
    return _display(data, format) or Picture(data, format, path)


def visualize_error(
    error: BaseException, filename: str | None = None, format: str | None = None, **options: Any
) -> Any:
    """Draw the graph that failed with ``error``; the failing node is red and shows the line of your program that built
    it.

    The picture shows the graph of the failed message, or of the failed operation in the client. ``filename`` and
    ``format`` are the options of `visualize`. Without both options, the picture is an SVG.

        try:
            order.compute()
        except Exception as error:
            visualize_error(error, "failed.png")

    Raises ValueError for an error that has no graph.
    """
    graph: FailedGraph | None = getattr(error, "rpc_graph", None)
    if graph is None:
        raise ValueError(
            f"{type(error).__name__} has no graph: only an error that a service, or a function of a graph, has "
            "raised can be drawn."
        )
    title = f"{type(error).__name__}: {error}"
    text = to_dot(graph.outputs, failed=graph.node, title=title[:120], **options)
    return draw(text, filename, format, default="svg")


def notebook_svg(output: Any) -> str | None:
    """Draw the graph of ``output`` for a notebook; return None for a graph that is too large or cannot be drawn."""
    node = output.__rpc_node__()
    if len(topological([node])) > _NODES:
        return None
    try:
        return render(to_dot([node]), "svg", seconds=_SECONDS).decode()
    except (MissingExtra, ValueError):  # the notebook shows its text in any case
        return None


def _display(data: bytes, format: str) -> Any:
    """Return IPython's display object for a picture; None outside of IPython."""
    if "IPython" not in sys.modules or format not in ("png", "jpeg", "svg"):
        return None
    ipython = importlib.import_module("IPython")
    display = importlib.import_module("IPython.display")
    if ipython.get_ipython() is None:
        return None
    return display.SVG(data) if format == "svg" else display.Image(data, format=format)
