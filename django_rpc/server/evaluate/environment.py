"""Where the values of nodes are, when a node can have one for each element of a map."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django_rpc.graph.nodes import Element, Node
from django_rpc.server.errors.failure import Failure

__all__ = ["Cells", "Failed", "Failure", "Frame", "home"]


class Failed(Exception):
    """Something needs a value that could not be had."""

    def __init__(self, failure: Failure) -> None:
        super().__init__()
        self.failure = failure


class Frame:
    """The rows for which nodes are evaluated together: one for the request, and one for each element of a map.

    ``param`` is what the elements are called; ``owner`` gives for each row the row of the ``outer`` frame that it
    belongs to.  ``columns`` are the values: node -> row -> value; ``lists`` the rows of those that are queries.
    """

    __slots__ = ("columns", "elements", "lists", "outer", "owner", "param")

    def __init__(
        self,
        param: Element | None = None,
        elements: list[Any] | None = None,
        owner: list[int] | None = None,
        outer: Frame | None = None,
    ) -> None:
        self.param = param
        self.elements = elements if elements is not None else [None]
        self.owner = owner if owner is not None else []
        self.outer = outer
        self.columns: dict[Node, dict[int, Any]] = {}
        self.lists: dict[Node, dict[int, Any]] = {}


def home(frame: Frame, params: frozenset[Element]) -> tuple[Frame, Callable[[Iterable[int]], list[int]] | None]:
    """The frame in which a node that depends on ``params`` has its values, and how rows of ``frame`` lead to it."""
    owners = []
    while frame.outer is not None and frame.param not in params:
        owners.append(frame.owner)
        frame = frame.outer
    if not owners:
        return frame, None

    def rows(given: Iterable[int]) -> list[int]:
        for owner in owners:
            given = [owner[row] for row in given]
        return list(given)

    return frame, rows


class Cells(Mapping[Node, Any]):
    """The values of nodes as one row sees them: what the visitors and the resolver read.

    ``missing`` is asked for what nobody has evaluated yet.  Raises Failed for a value that could not be had.
    """

    def __init__(
        self, free: dict[Node, frozenset[Element]], frame: Frame, missing: Callable[[Node, Frame, int], Any]
    ) -> None:
        self.free = free
        self.frame = frame
        self.row = 0
        self.missing = missing
        #: What stands for a node while a query is built: an OuterRef in place of a value.
        self.instead: dict[Node, Any] = {}

    def __getitem__(self, node: Node) -> Any:
        if self.instead and node in self.instead:
            return self.instead[node]
        params, frame, row = self.free[node], self.frame, self.row
        while frame.outer is not None and frame.param not in params:
            frame, row = frame.outer, frame.owner[row]
        column = frame.columns.get(node)
        if column is not None and row in column:
            value = column[row]
        elif node is frame.param:
            value = frame.elements[row]
        else:
            value = self.missing(node, frame, row)
        if type(value) is Failure:
            raise Failed(value)
        return value

    def __iter__(self) -> Any:
        return iter(self.free)

    def __len__(self) -> int:
        return len(self.free)
