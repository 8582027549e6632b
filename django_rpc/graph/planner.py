"""From outputs to a `Plan`, in three phases that can also be run one by one.

collect     what the outputs need, in order; the rest is left out
rewrite     the rules of `rewrites.REWRITES`, each a pure function
partition   who does what: one stage a service
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django_rpc.graph.dag import as_node, services, topological
from django_rpc.graph.describe import describe
from django_rpc.graph.errors import NotSupported
from django_rpc.graph.node import Insert, Node, Save, Source
from django_rpc.graph.plan import Plan, Stage
from django_rpc.graph.rewrites import REWRITES, Draft
from django_rpc.graph.runner import several_services

__all__ = ["PHASES", "collect", "partition", "plan", "rewrite", "stage_for"]


def collect(outputs: Iterable[Any]) -> Draft:
    """The nodes that ``outputs`` (nodes, Delayed, querysets, Outputs) need, in the order in which they were built.

    Raises TypeError for an output without a node.
    """
    wanted = tuple([as_node(output) for output in outputs])
    return Draft(topological(wanted), wanted)


def rewrite(draft: Draft) -> Draft:
    """The draft after all the rewrites, in their order."""
    for rule in REWRITES:
        draft = rule(draft)
    return draft


def partition(draft: Draft) -> Plan:
    """The draft, divided by service: one stage for each that is named.

    Raises NotSupported where one value needs several services.
    """
    names = sorted({node.service for node in draft.nodes if isinstance(node, (Source, Save, Insert))})
    if len(names) <= 1:
        places = {node: index for index, node in enumerate(draft.nodes)}
        stage = _stage(names[0] if names else None, draft.nodes, [places[node] for node in draft.outputs])
        return Plan((stage,), tuple([(0, place) for place in range(len(draft.outputs))]))
    known = services(draft.nodes)
    for output in draft.outputs:
        if len(known[output]) > 1:
            raise several_services(output, sorted(known[output]))
    stages = []
    found: dict[int, tuple[int, int]] = {}
    for number, name in enumerate(names):
        # What names no service (plain data) goes with the first stage.
        mine = [
            place for place, node in enumerate(draft.outputs) if name in known[node] or (not known[node] and not number)
        ]
        nodes = topological([draft.outputs[place] for place in mine])
        places = {node: index for index, node in enumerate(nodes)}
        stages.append(_stage(name, nodes, [places[draft.outputs[place]] for place in mine]))
        found.update({place: (number, index) for index, place in enumerate(mine)})
    return Plan(tuple(stages), tuple([found[place] for place in range(len(draft.outputs))]))


def _stage(service: str | None, nodes: tuple[Node, ...], outputs: list[int]) -> Stage:
    return Stage(service, nodes, tuple(outputs), any(node.writes for node in nodes))


def plan(outputs: Iterable[Any]) -> Plan:
    """All the phases.

    >>> from django_rpc.graph.node import Method, Source
    >>> orders = Source("shop.Order", "rpc")
    >>> stage, = plan([Method(orders, "count"), Method(orders, "count")]).stages
    >>> stage.service, len(stage.nodes), stage.outputs, stage.writes
    ('rpc', 2, (1, 1), False)

    Raises TypeError for an output without a node, NotSupported where one value needs several services.
    """
    return partition(rewrite(collect(outputs)))


def stage_for(outputs: Iterable[Any], service: str) -> Stage:
    """The one message that asks ``service`` for all of ``outputs``; its outputs are theirs, in their order.

    >>> from django_rpc.graph.node import Method, Source
    >>> stage_for([Method(Source("shop.Order", "rpc"), "count")], "rpc").outputs
    (1,)

    Raises NotSupported where another service is needed.
    """
    stages = plan(outputs).stages
    for stage in stages:
        if stage.service not in (None, service):
            wanted = stage.nodes[stage.outputs[0]]
            raise NotSupported(
                f"{describe(wanted, 120)} is computed by the service {stage.service!r}, and was given to the one "
                f"of {service!r}. compute() of django_rpc.graph.delayed asks each service for its own."
            )
    return stages[0]


#: The phases by name, in their order.
PHASES = {"collect": collect, "rewrite": rewrite, "partition": partition}
