"""The result of each phase of the planner, as text and as a `networkx.DiGraph`."""

from __future__ import annotations

from typing import Any

import networkx

from django_rpc.graph.format import describe
from django_rpc.graph.nodes import Node
from django_rpc.graph.plan.edges import labelled
from django_rpc.graph.plan.expression_graph import ExpressionGraph
from django_rpc.graph.plan.partition import Partition
from django_rpc.graph.plan.placement import PlacedGraph
from django_rpc.graph.plan.schedule import Schedule
from django_rpc.graph.plan.sites import CLIENT
from django_rpc.graph.plan.stages import Plan

__all__ = ["digraph_of", "lines_of"]


def digraph_of(result: Any) -> networkx.DiGraph:
    """Return the graph in the result of a phase. Raises TypeError for a `Plan`, which is no graph."""
    if isinstance(result, ExpressionGraph):
        return labelled(result.digraph(), result)
    if isinstance(result, PlacedGraph):
        return result.digraph
    if isinstance(result, Schedule):
        networkx.set_node_attributes(result.placed.digraph, result.rounds, "round")
        return result.placed.digraph
    if isinstance(result, Partition):
        return result.stages
    raise TypeError("The last phase returns a plan and no graph.")


def lines_of(result: Any) -> list[str]:
    """Describe the result of a phase."""
    if isinstance(result, Plan):
        return result.explain(ask=False).splitlines()
    if isinstance(result, ExpressionGraph):
        return [f"{node.effect.value:5} {_text(node)}" for node in result.nodes]
    if isinstance(result, PlacedGraph):
        return [f"{_place(place)}: {_text(node)}" for node, place in result.digraph]
    if isinstance(result, Schedule):
        by_round = sorted(result.placed.digraph, key=lambda placed: (result.rounds[placed], placed.place))
        return [f"round {result.rounds[placed]}, {_place(placed.place)}: {_text(placed.node)}" for placed in by_round]
    lines = []
    for number, members in result.stages.nodes(data="members"):
        numbers = [str(before + 1) for before in result.stages.pred[number]]
        after = f", after stage {', '.join(numbers)}" if numbers else ""
        lines.append(f"stage {number + 1}, {_place(members[0].place)}, round {members[0].round}{after}:")
        lines += [f"  {_text(member.node)}" for member in members]
    return lines


def _text(node: Node) -> str:
    return describe(node, 100)


def _place(place: str) -> str:
    return "client" if place == CLIENT else f"service {place!r}"
