"""Errors of the graph, raised before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from django_rpc.graph.nodes import Node

__all__ = ["FailedGraph", "MissingExtra", "NoRunner", "NotSupported"]


class FailedGraph(NamedTuple):
    """Graph of a failed computation, in the attribute ``rpc_graph`` of its error; `visualize_error` draws it."""

    outputs: tuple[Node, ...]
    node: Node | None  # the failed node, if known


class NotSupported(NotImplementedError):
    """This version does not support the operation."""


class NoRunner(LookupError):
    """No client is known that could compute this Delayed."""


class MissingExtra(ImportError):
    """A part of django_rpc requires the packages of an extra (``pip install "django-rpc[viz]"``)."""
