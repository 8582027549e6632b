"""``d.profile()``: the value, and what each node cost where it was worked out."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django_rpc.client.callbacks import Watch
from django_rpc.client.execute import Run, finished
from django_rpc.graph.delayed.runner import Asking, Output, Runner
from django_rpc.graph.draw.plan_dot import plan_to_dot
from django_rpc.graph.draw.render import render
from django_rpc.graph.draw.visualize import draw
from django_rpc.graph.errors import MissingExtra
from django_rpc.graph.format import describe
from django_rpc.graph.nodes.base import Node
from django_rpc.graph.plan.stages import Plan, Routing
from django_rpc.wire.messages import Response

__all__ = ["NodeCost", "Profile", "profile"]

_SHOWN = 0.0005  # seconds, from which on a node without rows and statements has a line of its own
_SECONDS = 5.0  # for a picture that a notebook shows


@dataclass(frozen=True, slots=True)
class NodeCost:
    """What one node cost.  ``sql`` holds statements with their seconds, only where the service shows them."""

    stage: int
    service: str | None  # None: the client
    node: Node
    times: int  # values that it had: one, or one for each element of a map
    seconds: float
    rows: int  # in its values
    statements: int
    sql: tuple[tuple[str, float], ...] = ()

    @property
    def text(self) -> str:
        return describe(self.node, 70)


@dataclass(frozen=True)
class Profile:
    """What a computation gave (``result``), and what it cost: ``nodes``, and the seconds of each of its ``messages``.

    ``print(profile)`` shows a table, `visualize` a picture; a notebook shows both.
    """

    result: Any
    seconds: float
    plan: Plan
    nodes: tuple[NodeCost, ...]
    messages: dict[int, float] = field(default_factory=dict)
    #: How values went from stage to stage.
    routing: Routing | None = None

    @property
    def statements(self) -> int:
        """How many SQL statements the services ran."""
        return sum(cost.statements for cost in self.nodes)

    def __repr__(self) -> str:
        return self.table()

    def table(self, sql: bool = True) -> str:
        """A line for each node that took time, brought rows or ran SQL; below it its statements."""
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
        """Draws the plan with the costs of each box, as ``d.visualize(plan=True)`` does."""
        return draw(plan_to_dot(self.plan, **self._drawn(), **options), filename, format)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        page = f"<pre>{html.escape(self.table())}</pre>"
        try:
            drawn = render(plan_to_dot(self.plan, **self._drawn()), "svg", seconds=_SECONDS)
        except (MissingExtra, ValueError):  # the table says it all
            drawn = b""
        picture = drawn.decode()
        return {"text/plain": self.table(), "text/html": page + picture[max(picture.find("<svg"), 0) :]}

    def _drawn(self) -> dict[str, Any]:
        return {"notes": self._notes(), "title": self._title(), "routing": self.routing}

    def _title(self) -> str:
        trips, sql = len(self.messages), self.statements
        handed = self.routing is not None and "" in self.routing.reasons.values()  # then several are under way as one
        return (
            f"{self.seconds * 1000:.1f} ms, {trips} {'message' if handed else 'round trip'}{'' if trips == 1 else 's'} "
            f"({sum(self.messages.values()) * 1000:.1f} ms), {sql} SQL statement{'' if sql == 1 else 's'}"
        )

    def _shown(self) -> list[NodeCost]:
        return [cost for cost in self.nodes if cost.rows or cost.statements or cost.seconds >= _SHOWN]

    def _notes(self) -> dict[tuple[int, Node], str]:
        notes = {}
        for cost in self._shown():
            parts = [f"{cost.seconds * 1000:.2f} ms"]
            parts += [f"{cost.rows} rows"] if cost.rows else []
            parts += [f"{cost.statements} SQL"] if cost.statements else []
            notes[cost.stage, cost.node] = ", ".join(parts)
        return notes


class _Notes(Watch):
    """Notes what the stages of one run cost."""

    def __init__(self) -> None:
        self.costs: dict[int, list[NodeCost]] = {}
        self.messages: dict[int, float] = {}
        self.plan: Plan | None = None
        self._begun: dict[int, float] = {}

    def began(self, run: Run, number: int) -> None:
        self.plan = run.plan
        self._begun[number] = time.perf_counter()

    def ended(self, run: Run, number: int) -> None:
        if run.plan.stages[number].service is not None:
            self.messages[number] = time.perf_counter() - self._begun[number]

    def asking(self, number: int) -> Asking:
        return Asking("profile", lambda response: self._told(number, response))

    def _told(self, number: int, response: Response) -> None:
        assert self.plan is not None
        stage = self.plan.stages[number]
        shift = len(stage.inputs)  # the message holds the values of other stages first
        found = []
        for cost in response.costs:
            index = cost.node - shift
            if 0 <= index < len(stage.nodes):
                sql = tuple([(one.sql, one.seconds) for one in response.trace if one.node == cost.node])
                where = (number, stage.service, stage.nodes[index])
                found.append(NodeCost(*where, cost.times, cost.seconds, cost.rows, cost.statements, sql))
        self.costs[number] = found

    def timer(self, number: int) -> Callable[[Node, float, Any], object]:
        costs = self.costs.setdefault(number, [])

        def told(node: Node, seconds: float, value: Any) -> None:
            rows = len(value) if isinstance(value, list | tuple | set | frozenset) else 0
            costs.append(NodeCost(number, None, node, 1, seconds, rows, 0))

        return told


def profile(
    outputs: Sequence[Output],
    runners: Iterable[Runner] = (),
    *,
    timeout: float | None = None,
    priority: bool = False,
) -> Profile:
    """The `Profile` of computing the first of ``outputs``; raises what computing it raises."""
    notes = _Notes()
    started = time.perf_counter()
    run = Run(outputs, runners, timeout, priority, notes)
    run.execute()
    seconds = time.perf_counter() - started
    nodes = [cost for number in sorted(notes.costs) for cost in notes.costs[number]]
    value = finished(outputs, run.values())[0]
    return Profile(value, seconds, run.plan, tuple(nodes), notes.messages, run.forwarding.routing())
