"""Costs of each node of a request at the server: for ``asking: "profile"``.

The evaluator sets the node at work (``position``); the meter measures the time between two such changes.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from typing import Any

from django.db.models import Model, QuerySet

from django_rpc.graph.nodes import Node
from django_rpc.graph.values import Record, RowSet, Table
from django_rpc.server.django_compat import rows_in_memory
from django_rpc.server.evaluate.environment import Environment
from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.wire.messages import NodeCost

__all__ = ["Meter", "MeteredEvaluator"]


class Meter:
    """The costs of one request, by the indices of its nodes; None is for costs of no node."""

    def __init__(self) -> None:
        self.position: int | None = None
        self.seconds: dict[int | None, float] = defaultdict(float)
        self.statements: Counter[int | None] = Counter()
        self.environments: list[Environment] = []
        self._since = time.perf_counter()

    def move(self, position: int | None) -> None:
        """Assign the time from now on to this node."""
        now = time.perf_counter()
        self.seconds[self.position] += now - self._since
        self._since = now
        self.position = position

    def costs(self, evaluator: Evaluator, outputs: tuple[Any, ...]) -> tuple[NodeCost, ...]:
        """Return the costs of each node with costs."""
        self.move(None)
        times: Counter[Node] = Counter()
        rows: Counter[Node] = Counter()
        for columns, lists in [(environment.columns, environment.lists) for environment in self.environments] or [
            _plain(evaluator)
        ]:
            for node in columns.keys() | lists.keys():
                values = {**columns.get(node, {}), **lists.get(node, {})}
                times[node] += len(values)
                rows[node] += sum(map(_rows, values.values()))
        nodes = evaluator.request.nodes
        for position, value in zip(evaluator.request.outputs, outputs, strict=True):
            rows[nodes[position]] = max(rows[nodes[position]], _rows(value))
        return tuple(
            [
                NodeCost(position, times[node], self.seconds[position], rows[node], self.statements[position])
                for position, node in enumerate(nodes)
                if position in self.seconds
            ]
        )


class MeteredEvaluator(Evaluator):
    """Evaluator with a meter."""

    def __init__(self, meter: Meter, *args: Any) -> None:
        self.meter = meter
        super().__init__(*args)

    @property
    def position(self) -> int | None:
        return self.meter.position

    @position.setter
    def position(self, position: int | None) -> None:
        self.meter.move(position)

    def noted(self, environment: Environment) -> Environment:
        self.meter.environments.append(environment)
        return environment


def _plain(evaluator: Evaluator) -> tuple[dict[Node, dict[int, Any]], dict[Node, dict[int, Any]]]:
    """Return the values of a request without maps, with a single row."""
    return {node: {0: value} for node, value in evaluator.values.items()}, {}


def _rows(value: Any) -> int:
    """Return the number of rows or elements in a value; 0 for a query that is not evaluated, and for a plain value."""
    if isinstance(value, QuerySet):
        return rows_in_memory(value)
    if isinstance(value, RowSet | Table):
        return len(value.rows)
    if isinstance(value, list | tuple | set | frozenset):
        return len(value)
    return int(isinstance(value, Model | Record))
