"""The planner: outputs become a `Plan` in named phases, which can be run and printed one by one.

phase       result            content
collect     ExpressionGraph   the nodes that the outputs need, in the user's order
rewrites    ExpressionGraph   an equal graph with less work
place       PlacedGraph       the place of each node: a service, or the client
schedule    Schedule          the round of each node
partition   Partition         the stages: the nodes of one place and one round
route       Plan              the values that each stage receives from other stages
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, NamedTuple

from django_rpc.graph.nodes import Place
from django_rpc.graph.plan.collect import collect
from django_rpc.graph.plan.expression_graph import ExpressionGraph
from django_rpc.graph.plan.rewrites import rewrite
from django_rpc.graph.plan.stages import Plan, Stage

__all__ = ["PHASES", "Phase", "phases", "plan"]

_CLIENT, _SERVICE = Place.CLIENT, Place.SERVICE
_place = attrgetter("place")


class Phase(NamedTuple):
    """A phase of the planner: a function of the result of the phase before it."""

    name: str
    run: Callable[[Any], Any]


def _imported(module: str, name: str) -> Callable[[Any], Any]:
    """Import the function of a phase at its first call: networkx takes 0.2 s, and one service does not need it."""

    def run(result: Any) -> Any:
        return getattr(importlib.import_module(f"{__package__}.{module}"), name)(result)

    return run


#: The phases in their order. `plan` skips the last four for a graph of one service.
PHASES = (
    Phase("collect", collect),
    Phase("rewrites", rewrite),
    Phase("place", _imported("placement", "place")),
    Phase("schedule", _imported("schedule", "schedule")),
    Phase("partition", _imported("partition", "partition")),
    Phase("route", _imported("partition", "route")),
)


def plan(outputs: Iterable[Any]) -> Plan:
    """Return the plan of ``outputs``.

    >>> from django_rpc.graph.nodes import Method, ModelSource
    >>> orders = ModelSource("shop.Order", "rpc")
    >>> stage, = plan([Method(orders, "count"), Method(orders, "count")]).stages
    >>> stage.service, len(stage.nodes), stage.outputs, stage.writes
    ('rpc', 2, (1, 1), False)

    Raises TypeError for an output without a node.
    """
    graph = rewrite(collect(outputs))
    service = _only_service(graph)
    if service is not None:
        return _single_stage(service, graph)
    result: Any = graph
    for phase in PHASES[2:]:
        result = phase.run(result)
    made: Plan = result
    return made


def phases(outputs: Iterable[Any], last: str = "route") -> dict[str, Any]:
    """Return the result of each phase by its name, up to the phase ``last``. No phase is skipped.

    >>> from django_rpc.graph.nodes import Method, ModelSource
    >>> [type(result).__name__ for result in phases([Method(ModelSource("shop.Order", "rpc"), "count")]).values()]
    ['ExpressionGraph', 'ExpressionGraph', 'PlacedGraph', 'Schedule', 'Partition', 'Plan']

    Raises ValueError for an unknown phase.
    """
    names = [phase.name for phase in PHASES]
    if last not in names:
        raise ValueError(f"{last!r} is not a phase of the planner. The phases are {', '.join(names)}.")
    result: Any = outputs
    results = {}
    for phase in PHASES[: names.index(last) + 1]:
        result = results[phase.name] = phase.run(result)
    return results


def _only_service(graph: ExpressionGraph) -> str | None:
    """Return the service that can evaluate the whole graph; None if there is none, or a node runs in the client."""
    if _CLIENT in map(_place, graph.nodes):
        return None
    services = {node.service for node in graph.nodes if node.place is _SERVICE}  # type: ignore[attr-defined]  # their field
    return services.pop() if len(services) == 1 else None


def _single_stage(service: str, graph: ExpressionGraph) -> Plan:
    index_of = {node: index for index, node in enumerate(graph.nodes)}
    indices = [index_of[node] for node in graph.outputs]
    writes = any(map(attrgetter("writes"), graph.nodes))
    stage = Stage(service, graph.nodes, tuple(indices), writes)
    return Plan((stage,), tuple([(0, place) for place in range(len(indices))]))
