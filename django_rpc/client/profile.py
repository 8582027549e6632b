"""Profile of a computation: its value, and the time, rows and SQL of each node (``d.profile()``)."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django_rpc.client.execute import Run, finished
from django_rpc.client.hooks import Hook
from django_rpc.graph.delayed.runner import Output, ReportRequest, Runner
from django_rpc.graph.draw.plan_dot import plan_to_dot
from django_rpc.graph.draw.render import render
from django_rpc.graph.draw.visualize import draw
from django_rpc.graph.errors import MissingExtra
from django_rpc.graph.format import describe
from django_rpc.graph.nodes import Node
from django_rpc.graph.plan.stages import Plan, Routing
from django_rpc.wire.messages import Response

__all__ = ["NodeProfile", "Profile", "profile"]

_SHOWN = 0.0005  # minimum seconds of a node without rows and statements in the table
_SECONDS = 5.0  # limit for the rendering of a picture in a notebook


@dataclass(frozen=True, slots=True)
class NodeProfile:
    """Cost of one node. ``sql`` has the statements with their seconds, if the service shows them."""

    stage: int
    service: str | None  # None: the client
    node: Node
    times: int  # number of evaluations: 1, or the number of elements of a map
    seconds: float
    rows: int  # in its values
    statements: int
    sql: tuple[tuple[str, float], ...] = ()

    @property
    def text(self) -> str:
        return describe(self.node, 70)


@dataclass(frozen=True)
class Profile:
    """Value of a computation (``result``), and its cost: ``nodes``, and ``messages`` with the seconds of each message.

    ``print(profile)`` shows a table, and `visualize` a picture. A notebook shows both.
    """

    result: Any
    seconds: float
    plan: Plan
    nodes: tuple[NodeProfile, ...]
    messages: dict[int, float] = field(default_factory=dict)
    #: Routing of values between stages.
    routing: Routing | None = None

    @property
    def statements(self) -> int:
        """Return the number of SQL statements of the services."""
        return sum(cost.statements for cost in self.nodes)

    def __repr__(self) -> str:
        return self.table()

    def table(self, sql: bool = True) -> str:
        """Return a table with each node that took time, returned rows or executed SQL, and with the SQL."""
        lines = [self._title(), f"{'stage':>5} {'where':<12} {'ms':>9} {'rows':>8} {'SQL':>5}  node"]
        for cost in self._shown():
            where = "client" if cost.service is None else cost.service
            lines.append(
                f"{cost.stage + 1:>5} {where:<12} {cost.seconds * 1000:>9.2f} {cost.rows or '':>8} "
                f"{cost.statements or '':>5}  {cost.text}"
            )
            lines += [f"{'':>18} {seconds * 1000:>9.2f} {'':>15} {text}" for text, seconds in cost.sql if sql]
        return "\n".join(lines)

    def visualize(self, filename: str | None = None, format: str | None = None, **options: Any) -> Any:
        """Draw the plan with the cost of each node, as ``d.visualize(plan=True)`` does."""
        return draw(plan_to_dot(self.plan, **self._drawn(), **options), filename, format)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        page = f"<pre>{html.escape(self.table())}</pre>"
        try:
            drawn = render(plan_to_dot(self.plan, **self._drawn()), "svg", seconds=_SECONDS)
        except (MissingExtra, ValueError):  # the table has the same data
            drawn = b""
        picture = drawn.decode()
        return {"text/plain": self.table(), "text/html": page + picture[max(picture.find("<svg"), 0) :]}

    def _drawn(self) -> dict[str, Any]:
        return {"notes": self._notes(), "title": self._title(), "routing": self.routing}

    def _title(self) -> str:
        trips, sql = len(self.messages), self.statements
        # Messages with forwarded values wait for each other during one round trip of the client.
        forwarded = self.routing is not None and "" in self.routing.reasons.values()
        unit = "message" if forwarded else "round trip"
        return (
            f"{self.seconds * 1000:.1f} ms, {trips} {unit}{'' if trips == 1 else 's'} "
            f"({sum(self.messages.values()) * 1000:.1f} ms), {sql} SQL statement{'' if sql == 1 else 's'}"
        )

    def _shown(self) -> list[NodeProfile]:
        return [cost for cost in self.nodes if cost.rows or cost.statements or cost.seconds >= _SHOWN]

    def _notes(self) -> dict[tuple[int, Node], str]:
        notes = {}
        for cost in self._shown():
            parts = [f"{cost.seconds * 1000:.2f} ms"]
            parts += [f"{cost.rows} rows"] if cost.rows else []
            parts += [f"{cost.statements} SQL"] if cost.statements else []
            notes[cost.stage, cost.node] = ", ".join(parts)
        return notes


class _CostRecorder(Hook):
    """Recorder of the costs of the stages of one run."""

    def __init__(self) -> None:
        self.costs: dict[int, list[NodeProfile]] = {}
        self.messages: dict[int, float] = {}
        self.plan: Plan | None = None
        self._begun: dict[int, float] = {}

    def stage_begins(self, run: Run, number: int) -> None:
        self.plan = run.plan
        self._begun[number] = time.perf_counter()

    def stage_ends(self, run: Run, number: int) -> None:
        if run.plan.stages[number].service is not None:
            self.messages[number] = time.perf_counter() - self._begun[number]

    def asking(self, number: int) -> ReportRequest:
        return ReportRequest("profile", partial(self._record, number))

    def _record(self, number: int, response: Response) -> None:
        assert self.plan is not None
        stage = self.plan.stages[number]
        shift = len(stage.inputs)  # the message holds the values of other stages first
        costs = []
        for cost in response.costs:
            index = cost.node - shift
            if 0 <= index < len(stage.nodes):
                sql = tuple([(entry.sql, entry.seconds) for entry in response.trace if entry.node == cost.node])
                where = (number, stage.service, stage.nodes[index])
                costs.append(NodeProfile(*where, cost.times, cost.seconds, cost.rows, cost.statements, sql))
        self.costs[number] = costs

    def timer(self, number: int) -> Callable[[Node, float, Any], object]:
        costs = self.costs.setdefault(number, [])

        def record(node: Node, seconds: float, value: Any) -> None:
            rows = len(value) if isinstance(value, list | tuple | set | frozenset) else 0
            costs.append(NodeProfile(number, None, node, 1, seconds, rows, 0))

        return record


def profile(
    outputs: Sequence[Output],
    runners: Iterable[Runner] = (),
    *,
    timeout: float | None = None,
    priority: bool = False,
) -> Profile:
    """Compute the first of ``outputs``, and return its `Profile`; raise the errors of the computation."""
    recorder = _CostRecorder()
    started = time.perf_counter()
    run = Run(outputs, runners, timeout, priority, recorder)
    run.execute()
    seconds = time.perf_counter() - started
    nodes = [cost for number in sorted(recorder.costs) for cost in recorder.costs[number]]
    value = finished(outputs, run.values())[0]
    return Profile(value, seconds, run.plan, tuple(nodes), recorder.messages, run.forwarding.routing())
