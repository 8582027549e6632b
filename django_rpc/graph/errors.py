"""The errors of the graph room, all raised before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from django_rpc.graph.nodes import Node

__all__ = ["FailedGraph", "MissingExtra", "NoRunner", "NotSupported"]


class FailedGraph(NamedTuple):
    """What was under way when an error arose, as its attribute ``rpc_graph``: `visualize_error` draws it."""

    outputs: tuple[Node, ...]
    node: Node | None  # the one that failed, where it is known


class NotSupported(NotImplementedError):
    """What was asked for is understood, and this version cannot do it."""


class NoRunner(LookupError):
    """Nothing is known that could compute this Delayed."""


class MissingExtra(ImportError):
    """A part of django_rpc needs packages that an extra brings (``pip install "django-rpc[viz]"``)."""
