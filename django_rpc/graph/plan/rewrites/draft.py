"""What rewrites take and give."""

from __future__ import annotations

from typing import NamedTuple

from django_rpc.graph.nodes.base import Node

__all__ = ["Draft"]


class Draft(NamedTuple):
    """A graph on its way to a plan: its nodes in topological order, and those that were asked for."""

    nodes: tuple[Node, ...]
    outputs: tuple[Node, ...]
