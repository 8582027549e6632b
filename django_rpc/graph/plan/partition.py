"""Partition and routing: a schedule becomes stages, and the values that cross their borders get addresses."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import networkx

from django_rpc.graph.format import describe
from django_rpc.graph.nodes import Column, Filter, Map, Method, Node, Rows
from django_rpc.graph.plan.schedule import Schedule
from django_rpc.graph.plan.sites import CLIENT
from django_rpc.graph.plan.stages import Plan, Stage, StageInput

__all__ = ["Partition", "ScheduledNode", "column_of", "partition", "route"]


class ScheduledNode(NamedTuple):
    """A node in one stage: its place and its round. A recomputed node is in several stages."""

    node: Node
    place: str
    round: int


class Partition(NamedTuple):
    """The scheduled nodes with their data edges, and the graph of the stages.

    ``stages`` is a condensation of ``nodes``: the nodes of one place and one round are one stage. The numbers of the
    stages are in the order of the rounds.
    """

    nodes: networkx.DiGraph
    stages: networkx.DiGraph
    outputs: tuple[ScheduledNode, ...]


def partition(schedule: Schedule) -> Partition:
    """Divide the schedule into stages: one for each place and round with a node.

    A stage holds a copy of each recomputed node that it uses. Any other value from an earlier round is carried.
    """
    placed, rounds = schedule
    nodes = networkx.DiGraph()
    outputs = tuple([ScheduledNode(*output, rounds[output]) for output in placed.outputs])
    stack = list(dict.fromkeys(outputs))
    nodes.add_nodes_from(stack)
    before = placed.digraph.pred
    while stack:
        current = stack.pop()
        for start, edge in before[current.node, current.place].items():
            if edge["kind"] != "data":
                continue
            is_copied = start.place == current.place and start in placed.recomputed
            below = ScheduledNode(start.node, start.place, current.round if is_copied else rounds[start])
            if below not in nodes:
                stack.append(below)
            nodes.add_edge(below, current)
    stages: dict[tuple[int, str], list[ScheduledNode]] = {}
    positions = {placed_node: position for position, placed_node in enumerate(placed.digraph)}
    for member in sorted(nodes, key=lambda member: positions[member.node, member.place]):
        stages.setdefault((member.round, member.place), []).append(member)
    return Partition(nodes, networkx.condensation(nodes, [stages[key] for key in sorted(stages)]), outputs)


def route(partition: Partition) -> Plan:
    """Give each value that leaves a stage an address: the number of the stage, and the place among its outputs.

    Another service receives a query as the values of its column. Raises TypeError if a service needs the rows of a
    query of another service and the values of its column.
    """
    stage_of: dict[ScheduledNode, int] = partition.stages.graph["mapping"]
    inputs = {number: _inputs(partition, members) for number, members in partition.stages.nodes(data="members")}
    outputs: dict[int, dict[tuple[ScheduledNode, bool], int]] = {number: {} for number in inputs}
    for node, as_column in itertools.chain(((node, False) for node in partition.outputs), *inputs.values()):
        places = outputs[stage_of[node]]
        places.setdefault((node, as_column), len(places))
    stages = []
    for number, members in partition.stages.nodes(data="members"):
        addresses = [
            StageInput(value.node, stage_of[value], outputs[stage_of[value]][value, as_column])
            for value, as_column in inputs[number]
        ]
        stages.append(_stage(members, outputs[number], tuple(addresses)))
    final = [(stage_of[node], outputs[stage_of[node]][node, False]) for node in partition.outputs]
    return Plan(tuple(stages), tuple(final))


def _inputs(partition: Partition, members: Iterable[ScheduledNode]) -> dict[tuple[ScheduledNode, bool], None]:
    """Return the values that a stage receives, each with True if it is a query that arrives as a column."""
    stage_of = partition.stages.graph["mapping"]
    inputs: dict[tuple[ScheduledNode, bool], None] = {}
    before = partition.nodes.pred
    for member in members:
        for start in before[member]:
            if stage_of[start] != stage_of[member]:
                is_mapped = isinstance(member.node, Map | Filter) and member.node.parent is start.node
                as_column = start.node.is_query and not is_mapped and CLIENT not in (member.place, start.place)
                inputs[start, as_column] = None
    for start, as_column in inputs:
        if as_column and (start, False) in inputs:
            raise TypeError(
                f"{describe(start.node, 100)} is looked up at service {member.place!r}, and mapped there too: "
                "compute one of the two first."
            )
    return inputs


def _stage(
    members: list[ScheduledNode], outputs: Iterable[tuple[ScheduledNode, bool]], inputs: tuple[StageInput, ...]
) -> Stage:
    _, place, round_ = members[0]
    nodes = [member.node for member in members]
    output_nodes = []
    for (node, _, _), as_column in outputs:
        if as_column:
            node = column_of(node)
            nodes += [node.parent, node] if isinstance(node, Column) else []
        output_nodes.append(node)
    index_of = {node: index for index, node in enumerate(nodes)}
    writes = any(node.writes for node in nodes)
    return Stage(place or None, tuple(nodes), tuple([index_of[node] for node in output_nodes]), writes, inputs, round_)


def column_of(query: Node) -> Node:
    """Return the node of a query's values at another service: its single column, by default its keys.

    >>> from django_rpc.graph.nodes import ModelSource
    >>> column_of(Method(ModelSource("stock.Product", "stock"), "values", ("sku",))).name
    'sku'

    A query of several columns is returned unchanged.
    """
    node = query
    while isinstance(node, Method) and node.name not in ("values", "values_list"):
        node = node.parent
    if not isinstance(node, Method):
        return Column(Rows(query, ("pk",), where=query.where), "pk", where=query.where)
    if len(node.args) == 1 and isinstance(node.args[0], str) and set(node.kwargs) <= {"flat"}:
        return Column(Rows(query, node.args, where=query.where), node.args[0], where=query.where)
    return query
