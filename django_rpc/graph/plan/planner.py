"""From outputs to a `Plan`, in three phases that can also be run one by one.

collect     what the outputs need, in order; the rest is left out
rewrite     the rules of `rewrites.REWRITES`, each a pure function
partition   who does what, and when: stages of services and of the client
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django_rpc.graph.delayed.lambdas import check_closed
from django_rpc.graph.format import describe
from django_rpc.graph.nodes.base import (
    LOCAL_KINDS,
    Column,
    DescribeModels,
    Insert,
    Method,
    ModelSource,
    Node,
    RequestOutcome,
    Rows,
    Save,
    ServiceInfo,
)
from django_rpc.graph.nodes.collections import Element, Filter, Map
from django_rpc.graph.nodes.remote_function import ServiceCall
from django_rpc.graph.plan.dag import as_node, topological
from django_rpc.graph.plan.placement import CLIENT, Instance, Timetable, timetable
from django_rpc.graph.plan.rewrites import REWRITES, Draft
from django_rpc.graph.plan.stages import Given, Plan, Stage

__all__ = ["PHASES", "collect", "partition", "plan", "rewrite"]

_LOCAL = frozenset(LOCAL_KINDS.values())


def collect(outputs: Iterable[Any]) -> Draft:
    """The nodes that ``outputs`` (nodes, Delayed, querysets, Outputs) need, in the order in which they were built.

    Raises TypeError for an output without a node, and for one that depends on the placeholder of a lambda.
    """
    wanted = tuple([as_node(output) for output in outputs])
    nodes = topological(wanted)
    if any(type(node) is Element for node in nodes):
        check_closed(wanted)
    return Draft(nodes, wanted)


def rewrite(draft: Draft) -> Draft:
    """The draft after all the rewrites, in their order."""
    for rule in REWRITES:
        draft = rule(draft)
    return draft


def partition(draft: Draft) -> Plan:
    """The draft, divided into stages: one message where one service can do everything, and otherwise few."""
    services: set[str] = set()
    local = False
    for node in draft.nodes:
        kind = type(node)
        if kind in _LOCAL:
            local = True
        elif isinstance(node, (ModelSource, Save, Insert, DescribeModels, RequestOutcome, ServiceInfo, ServiceCall)):
            services.add(node.service)
    if len(services) == 1 and not local:
        places = {node: index for index, node in enumerate(draft.nodes)}
        stage = _stage(services.pop(), draft.nodes, [places[node] for node in draft.outputs], (), 1)
        return Plan((stage,), tuple([(0, place) for place in range(len(draft.outputs))]))
    return _Partition(timetable(draft)).plan()


class _Partition:
    """Makes the stages of a timetable: one for each place and tick at which something runs."""

    def __init__(self, table: Timetable) -> None:
        self.table = table
        #: By place and tick: what leaves the stage, what it evaluates, and what it gets from others.
        self.leaving: dict[tuple[int, str], dict[Instance, None]] = {}
        self.members: dict[tuple[int, str], dict[Instance, None]] = {}
        self.given: dict[tuple[int, str], dict[tuple[Instance, bool], None]] = {}
        for one in table.outputs:
            self._leave(one)
        # The last stage first: what it needs leaves an earlier one.
        while open_ := self.leaving.keys() - self.members.keys():
            key = max(open_)
            self.members[key] = self._members(key)
            self.given[key] = self._given(key, self.members[key])
            for one, _ in self.given[key]:
                self._leave(one)
        self.numbers = {key: number for number, key in enumerate(sorted(self.leaving))}

    def plan(self) -> Plan:
        asked: dict[tuple[int, str], dict[tuple[Instance, bool], int]] = {key: {} for key in self.numbers}
        for one in self.table.outputs:
            self._ask(asked, one, False)
        for key in self.numbers:
            for one, by_column in self.given[key]:
                self._ask(asked, one, by_column)
        stages = [self._made(key, asked) for key in self.numbers]
        outputs = [self._address(asked, one, False) for one in self.table.outputs]
        return Plan(tuple(stages), tuple(outputs))

    def _leave(self, one: Instance) -> None:
        self.leaving.setdefault(self._key(one), {})[one] = None

    def _key(self, one: Instance) -> tuple[int, str]:
        return self.table.ticks[one], one.place

    def _is_carried(self, start: Instance, place: str, tick: int) -> bool:
        """Whether something at ``place`` and ``tick`` has ``start`` from another stage, rather than in its own."""
        if start.place != place:
            return True
        return self.table.ticks[start] < tick and start not in self.table.repeated

    def _members(self, key: tuple[int, str]) -> dict[Instance, None]:
        """What a stage evaluates: what leaves it, and what that needs and no other stage has."""
        tick, place = key
        found: dict[Instance, None] = dict(self.leaving[key])
        stack = list(found)
        while stack:
            for start in self.table.origins[stack.pop()]:
                if start not in found and not self._is_carried(start, place, tick):
                    found[start] = None
                    stack.append(start)
        return found

    def _given(self, key: tuple[int, str], members: Iterable[Instance]) -> dict[tuple[Instance, bool], None]:
        """What a stage gets from others, and whether as the column that a query stands for in another service."""
        tick, place = key
        found: dict[tuple[Instance, bool], None] = {}
        for one in members:
            for start in self.table.origins[one]:
                if self._is_carried(start, place, tick):
                    is_looked_up = not (isinstance(one.node, Map | Filter) and one.node.parent is start.node)
                    by_column = start.node.is_query and is_looked_up and CLIENT not in (place, start.place)
                    found[start, by_column] = None
        for start, by_column in found:
            if by_column and (start, False) in found:
                raise TypeError(
                    f"{describe(start.node, 100)} is looked up at service {place!r}, and mapped there too: "
                    "compute one of the two first."
                )
        return found

    def _ask(self, asked: dict[Any, dict[Any, int]], one: Instance, by_column: bool) -> None:
        places = asked[self._key(one)]
        places.setdefault((one, by_column), len(places))

    def _address(self, asked: dict[Any, dict[Any, int]], one: Instance, by_column: bool) -> tuple[int, int]:
        key = self._key(one)
        return self.numbers[key], asked[key][one, by_column]

    def _made(self, key: tuple[int, str], asked: Any) -> Stage:
        tick, place = key
        nodes = sorted([one.node for one in self.members[key]], key=lambda node: node.order)
        outputs = []
        for one, by_column in asked[key]:
            node = one.node
            if by_column:
                node = column_of(node)
                nodes += [node.parent, node] if isinstance(node, Column) else []
            outputs.append(node)
        indices = {node: index for index, node in enumerate(nodes)}
        values = tuple([Given(one.node, *self._address(asked, one, by_column)) for one, by_column in self.given[key]])
        return _stage(place or None, tuple(nodes), [indices[node] for node in outputs], values, tick)


def column_of(query: Node) -> Node:
    """What a query is as a value of another service: the values of its one column, which are its keys by default.

    >>> column_of(Method(ModelSource("stock.Product", "stock"), "values", ("sku",))).name
    'sku'

    A query of several columns is its rows.
    """
    node = query
    while isinstance(node, Method) and node.name not in ("values", "values_list"):
        node = node.parent
    if not isinstance(node, Method):
        return Column(Rows(query, ("pk",), where=query.where), "pk", where=query.where)
    if len(node.args) == 1 and isinstance(node.args[0], str) and set(node.kwargs) <= {"flat"}:
        return Column(Rows(query, node.args, where=query.where), node.args[0], where=query.where)
    return query


def _stage(
    service: str | None, nodes: tuple[Node, ...], outputs: list[int], given: tuple[Given, ...], tick: int
) -> Stage:
    return Stage(service, nodes, tuple(outputs), any(node.writes for node in nodes), given, tick)


def plan(outputs: Iterable[Any]) -> Plan:
    """All the phases.

    >>> from django_rpc.graph.nodes.base import Method, ModelSource
    >>> orders = ModelSource("shop.Order", "rpc")
    >>> stage, = plan([Method(orders, "count"), Method(orders, "count")]).stages
    >>> stage.service, len(stage.nodes), stage.outputs, stage.writes
    ('rpc', 2, (1, 1), False)

    Raises TypeError for an output without a node.
    """
    return partition(rewrite(collect(outputs)))


#: The phases by name, in their order.
PHASES = {"collect": collect, "rewrite": rewrite, "partition": partition}
