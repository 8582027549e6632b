"""A node kind that the package does not know: its only declaration."""

from __future__ import annotations

from typing import Annotated, Any

from django_rpc.graph.nodes import Node, Place, WireRole

__all__ = ["Weighing"]


class Weighing(Node, frozen=True, eq=False):
    """The number of the rows of a query, times a factor."""

    tag = "weighing"
    place = Place.PARENT
    operation = "weigh"

    parent: Node
    factor: Any
    unit: Annotated[str, WireRole.TRAILING] = "kg"

    def text(self, write):
        return f".weigh({write.value(self.factor)}, {self.unit!r})"
