"""Environments: the rows that nodes are evaluated for, and the values of the nodes for each row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django_rpc.graph.nodes import Element, Node
from django_rpc.server.errors.failure import Failure

__all__ = ["Binding", "Environment", "Failed", "Failure", "VisibleValues", "owner_environment"]


class Failed(Exception):
    """A node needs the value of another node, which failed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__()
        self.failure = failure


class Environment:
    """The rows for which nodes are evaluated together: a single row for the request, a row for each element of a map.

    - ``param``: the node that has the elements as its values; None for the request.
    - ``owner``: for each row, its row in the ``outer`` environment.
    - ``columns``: the values, as node -> row -> value.
    - ``lists``: the rows of values that are queries, in the same form.
    """

    __slots__ = ("columns", "elements", "lists", "outer", "owner", "param")

    def __init__(
        self,
        param: Element | None = None,
        elements: list[Any] | None = None,
        owner: list[int] | None = None,
        outer: Environment | None = None,
    ) -> None:
        self.param = param
        self.elements = elements if elements is not None else [None]
        self.owner = owner if owner is not None else []
        self.outer = outer
        self.columns: dict[Node, dict[int, Any]] = {}
        self.lists: dict[Node, dict[int, Any]] = {}


#: A node, an environment and a row: the place of one value.
Binding = tuple[Node, Environment, int]


def owner_environment(
    environment: Environment, params: frozenset[Element]
) -> tuple[Environment, Callable[[Iterable[int]], list[int]] | None]:
    """Return the environment with the values of a node that depends on ``params``.

    The second value is a function from rows of ``environment`` to rows of the result; None if both are the same.
    """
    owners = []
    while environment.outer is not None and environment.param not in params:
        owners.append(environment.owner)
        environment = environment.outer
    if not owners:
        return environment, None

    def to_owner(rows: Iterable[int]) -> list[int]:
        for owner in owners:
            rows = [owner[row] for row in rows]
        return list(rows)

    return environment, to_owner


class VisibleValues(Mapping[Node, Any]):
    """The values of nodes for one row of an environment; visitors and the resolver read them.

    ``missing`` is called for a value that is not evaluated yet. Raises Failed for a value that failed.
    """

    def __init__(
        self,
        free: dict[Node, frozenset[Element]],
        environment: Environment,
        missing: Callable[[Node, Environment, int], Any],
    ) -> None:
        self.free = free
        self.environment = environment
        self.row = 0
        self.missing = missing
        #: Replacements of values while a query is built, for example an OuterRef.
        self.instead: dict[Node, Any] = {}

    def __getitem__(self, node: Node) -> Any:
        if self.instead and node in self.instead:
            return self.instead[node]
        params, environment, row = self.free[node], self.environment, self.row
        while environment.outer is not None and environment.param not in params:
            environment, row = environment.outer, environment.owner[row]
        column = environment.columns.get(node)
        if column is not None and row in column:
            value = column[row]
        elif node is environment.param:
            value = environment.elements[row]
        else:
            value = self.missing(node, environment, row)
        if type(value) is Failure:
            raise Failed(value)
        return value

    def __iter__(self) -> Any:
        return iter(self.free)

    def __len__(self) -> int:
        return len(self.free)
