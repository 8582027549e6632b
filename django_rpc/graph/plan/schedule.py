"""The schedule: the round in which each placed node runs, with the fewest rounds and then the fewest messages.

The edges of the placed graph are its only constraints. A data edge between two places needs as many rounds as a value
needs between them. A data edge within a place and an effect edge need none. An unevaluated query has no fixed round:
each message that uses a query contains it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import networkx

from django_rpc.graph.plan.placement import PlacedGraph, PlacedNode, first_round
from django_rpc.graph.plan.sites import CLIENT, distance

__all__ = ["Schedule", "schedule"]

_Rounds = Mapping[PlacedNode, int]


class Schedule(NamedTuple):
    """The placed graph, and the round of each of its nodes."""

    placed: PlacedGraph
    rounds: dict[PlacedNode, int]


def schedule(placed: PlacedGraph) -> Schedule:
    """Choose the rounds.

    First each node has an earliest and a latest round. Then each service has the fewest messages with a possible round
    for each of its nodes. At last, a node of the client runs as late as possible, so that no message waits for a value
    that it does not need.
    """
    digraph = placed.digraph
    order = list(networkx.topological_sort(digraph))
    leaving = {start for start, end in digraph.edges if start.place != end.place}.union(placed.outputs)
    earliest = _forward(digraph, order, lambda node, round_: round_)
    latest = _latest(digraph, order, _end(earliest, placed.outputs))
    messages = _messages(earliest, latest, leaving)

    def at_message(node: PlacedNode, round_: int) -> int:
        """Return the round of the next message of the service, unless that is too late."""
        return min((at for at in messages[node.place] if round_ <= at <= latest[node]), default=round_)

    rounds = _forward(digraph, order, at_message)
    end = _end(rounds, leaving)
    for node in reversed(order):
        if node.place == CLIENT:
            rounds[node] = min((rounds[user] - distance(CLIENT, user.place) for user in digraph[node]), default=end)
    return Schedule(placed, rounds)


def _end(rounds: _Rounds, leaving: Collection[PlacedNode]) -> int:
    """Return the round in which the client has the values of all ``leaving`` nodes."""
    return max((rounds[node] + distance(node.place, CLIENT) for node in leaving), default=0)


def _forward(
    digraph: networkx.DiGraph, order: Sequence[PlacedNode], postpone: Callable[[PlacedNode, int], int]
) -> dict[PlacedNode, int]:
    """Return the earliest round of each node; ``postpone`` may delay a node of a service that starts a message."""
    rounds: dict[PlacedNode, int] = {}
    before = digraph.pred
    for node in order:
        place = node.place
        edges = before[node]
        round_ = max((rounds[start] + distance(start.place, place) for start in edges), default=0)
        round_ = max(round_, first_round(place))
        follows_value = not node.node.is_query and any(
            start.place == place and not start.node.is_query and edge["kind"] == "data" for start, edge in edges.items()
        )
        rounds[node] = round_ if place == CLIENT or follows_value else postpone(node, round_)
    return rounds


def _latest(digraph: networkx.DiGraph, order: Sequence[PlacedNode], end: int) -> dict[PlacedNode, int]:
    """Return the latest round of each node that delays no output."""
    latest: dict[PlacedNode, int] = {}
    after = digraph.succ
    for node in reversed(order):
        limits = [latest[user] - distance(node.place, user.place) for user in after[node]]
        latest[node] = min([end - distance(node.place, CLIENT), *limits])
    return latest


def _messages(earliest: _Rounds, latest: _Rounds, leaving: Collection[PlacedNode]) -> dict[str, list[int]]:
    """Return, for each service, the fewest rounds so that each of its nodes has a possible round among them."""
    messages: dict[str, list[int]] = {node.place: [] for node in earliest if node.place != CLIENT}
    timed = [node for node in earliest if node.place != CLIENT and (not node.node.is_query or node in leaving)]
    for node in sorted(timed, key=latest.__getitem__):
        rounds = messages[node.place]
        if not any(earliest[node] <= round_ <= latest[node] for round_ in rounds):
            rounds.append(latest[node])  # rounds are in ascending order
    return messages
