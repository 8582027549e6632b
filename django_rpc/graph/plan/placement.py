"""Where each node of a graph runs, and when: the heart of the planner for graphs that one message cannot answer.

Time goes in ticks.  At even ticks the client works (0 is before the first message), at odd ticks the services do,
each on one message; so a value needs one tick between the client and a service, and two between two services,
since the client carries it.  A query is not evaluated before somebody asks for its rows, so it has no tick of
its own: it goes along in every message that uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from django_rpc.graph.format import describe
from django_rpc.graph.nodes.base import (
    ALL_KINDS,
    Attr,
    Call,
    Column,
    DescribeModels,
    Insert,
    Item,
    Literal,
    LocalCall,
    Method,
    ModelSource,
    Node,
    Opaque,
    Operator,
    RequestOutcome,
    Rows,
    Save,
    ServiceInfo,
)
from django_rpc.graph.nodes.collections import Element, Filter, IfElse, Map, Reduce, free_params
from django_rpc.graph.nodes.pickled_function import Shipped
from django_rpc.graph.nodes.remote_function import Function
from django_rpc.graph.plan.rewrites import Draft
from django_rpc.graph.vocabulary.names import METHODS

__all__ = ["CLIENT", "Instance", "Timetable", "distance", "home", "homes", "timetable"]

#: The place of local functions; other places are names of services.
CLIENT = ""

_Homes = Mapping[Node, frozenset[str]]
_NOWHERE: frozenset[str] = frozenset()
_AT_CLIENT = frozenset({CLIENT})


def _own_service(node: Any, known: _Homes) -> frozenset[str]:
    return frozenset({node.service})


def _with_parent(node: Any, known: _Homes) -> frozenset[str]:
    return known[node.parent]


def _with_inputs(node: Any, known: _Homes) -> frozenset[str]:
    found = [known[one] for one in node.inputs()]
    return found[0] if len(found) == 1 else frozenset().union(*found)


def _here(node: Any, known: _Homes) -> frozenset[str]:
    return _AT_CLIENT


#: Where each kind can run: one place, none (plain data, which is anywhere), or several to choose from.
_HOMES: dict[type[Node], Callable[[Any, _Homes], frozenset[str]]] = {
    ModelSource: _own_service,
    Save: _own_service,
    Insert: _own_service,
    RequestOutcome: _own_service,
    ServiceInfo: _own_service,
    DescribeModels: _own_service,
    Function: _own_service,
    Shipped: _own_service,
    Method: _with_parent,
    Call: _with_parent,
    Attr: _with_parent,
    Item: _with_parent,
    Rows: _with_parent,
    Column: _with_parent,
    Operator: _with_inputs,
    Literal: _with_inputs,
    Opaque: _here,
    LocalCall: _here,
    Element: _with_inputs,
    Map: _with_parent,
    Filter: _with_parent,
    Reduce: _with_parent,
    IfElse: _with_inputs,
}
if missing := set(ALL_KINDS.values()) ^ set(_HOMES):
    raise TypeError(f"places.py does not say where {missing} run.")


def homes(nodes: Iterable[Node]) -> dict[Node, frozenset[str]]:
    """The places where each node of a topological list can run.

    >>> orders = ModelSource("shop.Order", "rpc")
    >>> count = Method(orders, "count")
    >>> both = Operator("add", (count, LocalCall(len, ("ab",))))
    >>> nodes = sorted([orders, *both.inputs(), both], key=lambda node: node.order)
    >>> [sorted(places) for places in homes(nodes).values()]
    [['rpc'], ['rpc'], [''], ['', 'rpc']]
    """
    known: dict[Node, frozenset[str]] = {}
    shared: dict[frozenset[str], frozenset[str]] = {}
    ordered = list(nodes)
    place_of = _Elements(ordered, known).place_of if any(type(node) is Element for node in ordered) else _place_of
    for node in ordered:
        found = place_of(node, known)
        known[node] = shared.setdefault(found, found)
    return known


def _place_of(node: Node, known: _Homes) -> frozenset[str]:
    return _HOMES[type(node)](node, known)


class _Elements:
    """Where lambdas run: what depends on an element runs where its map does, and the map where that has to.

    ``needs`` has, for what depends on elements, the places that this has to run in, each with the node that does; a
    param stands for the place that its elements come from.
    """

    def __init__(self, nodes: list[Node], known: _Homes) -> None:
        self.free = free_params(nodes)
        self.needs: dict[Node, dict[Any, Node]] = {}
        self.known = known

    def place_of(self, node: Node, known: _Homes) -> frozenset[str]:
        if isinstance(node, Map | Filter):
            return self._of_map(node)
        if not self.free[node]:
            return _place_of(node, known)
        within = [one for one in node.inputs() if self.free[one]]
        # What is brought from elsewhere for all elements says nothing of where something is done with each.
        is_free = isinstance(node, Operator | Literal | IfElse)
        found = _NOWHERE.union(*[known[one] for one in within]) if is_free else _place_of(node, known)
        needs = {place: why for one in within for place, why in self.needs[one].items()}
        if not found and _is_of_its_service(node):
            found_on = node
            while not isinstance(found_on, Element) and hasattr(found_on, "parent"):
                found_on = found_on.parent
            needs.setdefault(found_on, node)
        self.needs[node] = {**dict.fromkeys(found, node), **needs}
        return found

    def _of_map(self, node: Map | Filter) -> frozenset[str]:
        start = self.known[node.parent]
        needs = dict(self.needs.get(node.body, {}))
        of_element = needs.pop(node.param, None)
        if of_element is not None:
            needs |= dict.fromkeys(start, of_element)
        places = {place: why for place, why in needs.items() if isinstance(place, str)}
        if len(places) > 1:
            raise TypeError(_in_two_places(node, places))
        found = frozenset(places) or start
        if found != start and CLIENT not in (found | start) and _brings_instances(node.parent):
            raise TypeError(_not_its_rows(node, *places.items()))
        if self.free[node]:
            outer = {place: why for place, why in needs.items() if not isinstance(place, str)}
            self.needs[node] = {**outer, **dict.fromkeys(found, node), **self.needs.get(node.parent, {})}
        return found


def _is_of_its_service(node: Node) -> bool:
    """Whether a step on an element is one that only the service which the element is of can do."""
    return isinstance(node, Call) or (isinstance(node, Method) and "value" not in METHODS[node.name].on)


def _brings_instances(node: Node) -> bool:
    """Whether the elements of a query or list are rows of a model, rather than their values."""
    while isinstance(node, Filter):
        node = node.parent
    if not node.is_query:
        return False
    while isinstance(node, Method | Item):
        if isinstance(node, Method) and node.name in ("values", "values_list", "dates", "datetimes"):
            return False
        node = node.parent
    return True


def _in_two_places(node: Node, places: Mapping[str, Node]) -> str:
    said = [f"{describe(why, 80)} {_where_it_is(place)}" for place, why in sorted(places.items())]
    return (
        f"The lambda of {describe(node, 100)}{_written(node)} is done with an element in one place, and this one needs "
        f"several: {', '.join(said)}. Make two maps of it: the second one works on the list of the "
        "first."
    )


def _not_its_rows(node: Map | Filter, needed: tuple[str, Node]) -> str:
    place, why = needed
    return (
        f"The lambda of {describe(node, 100)}{_written(node)} is done at service {place!r}, because of "
        f"{describe(why, 80)}, and rows of another service mean nothing there. Give it values: "
        f'{describe(node.parent, 60)}.values_list("pk", flat=True).map(...).'
    )


def _where_it_is(place: str) -> str:
    return "runs here, in the client" if place == CLIENT else f"is at service {place!r}"


def _written(node: Node) -> str:
    return "" if node.where is None else f", written at {node.where[0]}:{node.where[1]},"


def home(places: frozenset[str]) -> str | None:
    """The one place of a node, or None where there is none or a choice."""
    return next(iter(places)) if len(places) == 1 else None


def distance(start: str, end: str) -> int:
    """The ticks between the places: 1 between the client and a service, 2 between services."""
    if start == end:
        return 0
    return 1 if CLIENT in (start, end) else 2


class Instance(NamedTuple):
    """A node at the place where it runs.  A step that can run in several places may do so more than once."""

    node: Node
    place: str


class Timetable(NamedTuple):
    """What runs where and when; ``origins`` says for an instance where each of its inputs comes from.

    ``ticks`` are in topological order.  ``wanted`` are the instances whose value leaves its place, or is an output.
    ``repeated`` are those that are said again in each stage that uses them, rather than carried there: queries,
    plain data, what the client holds, and what has a value for each element of a map.
    """

    ticks: dict[Instance, int]
    origins: dict[Instance, tuple[Instance, ...]]
    wanted: set[Instance]
    outputs: tuple[Instance, ...]
    repeated: set[Instance]


def is_timed(instance: Instance) -> bool:
    """Whether the instance is evaluated at a moment of its own, rather than along with what uses it."""
    return not instance.node.is_query


def timetable(draft: Draft) -> Timetable:
    """Where and when each node of the draft runs: in as few rounds as can be, and in these as few messages."""
    known = homes(draft.nodes)
    chosen = _Choice(draft.nodes, known)
    origins: dict[Instance, tuple[Instance, ...]] = {}
    outputs = tuple([chosen.origin(node, CLIENT) for node in draft.outputs])
    wanted = set(outputs)
    stack = list(wanted)
    while stack:
        instance = stack.pop()
        if instance in origins:
            continue
        found = tuple([chosen.origin(one, instance.place) for one in instance.node.inputs()])
        origins[instance] = found
        wanted |= {one for one in found if one.place != instance.place}
        stack += found
    order = sorted(origins, key=lambda one: (one.node.order, one.place))
    repeated = {one for one in order if one.node.is_query or not known[one.node]}
    repeated |= {one for one in order if isinstance(one.node, Opaque) and not origins[one]}
    elements = free_params(draft.nodes)
    repeated |= {one for one in order if elements[one.node]}
    ticks = _settled(order, origins, wanted, outputs)
    return Timetable(ticks, origins, wanted, outputs, repeated)


class _Choice:
    """The earliest tick of each node at each place where it can run, and so the best place to have it from."""

    def __init__(self, nodes: Iterable[Node], known: _Homes) -> None:
        self._at: dict[Node, dict[str, int]] = {}
        self._known = known
        written: dict[str, int] = {}  # the tick of the last write at a service
        read: dict[str, int] = {}  # the last tick of anything before the next write
        for node in nodes:
            places = known[node]
            # Where there is a choice, the client is always one: whatever it needs can be brought there.
            candidates = places if len(places) == 1 else places | _AT_CLIENT
            at = self._at[node] = {place: self._earliest(node, place) for place in candidates}
            place = home(places)
            if place and not node.is_query:
                floor = read.get(place, 0) if node.writes else written.get(place, 0)
                at[place] = tick = max(at[place], floor)
                read[place] = max(read.get(place, 0), tick)
                if node.writes:
                    written[place] = tick

    def _earliest(self, node: Node, place: str) -> int:
        inputs = [self._arrival(self.origin(one, place), place) for one in node.inputs()]
        return max(inputs, default=_first(place))

    def _arrival(self, origin: Instance, place: str) -> int:
        node, start = origin
        if start not in self._at[node]:
            return _first(place)
        return max(self._at[node][start] + distance(start, place), _first(place))

    def origin(self, node: Node, place: str) -> Instance:
        """Where to have the value of ``node`` from for something that runs at ``place``."""
        places = self._known[node]
        if not places:
            return Instance(node, place)  # plain data is there already
        at = self._at[node]
        # Among equals the client: what comes out of a local function need not be fit for the wire.
        best = min(at, key=lambda start: (at[start] + distance(start, place), start != CLIENT))
        return Instance(node, best)


def _first(place: str) -> int:
    return 0 if place == CLIENT else 1


def _settled(
    order: list[Instance],
    origins: dict[Instance, tuple[Instance, ...]],
    wanted: set[Instance],
    outputs: tuple[Instance, ...],
) -> dict[Instance, int]:
    early = dict(_forward(order, origins, lambda one, tick: tick))
    late = _latest(order, origins, outputs, early)
    rounds = _rounds(early, late, wanted)

    def in_a_round(one: Instance, tick: int) -> int:
        """The first message, not before ``tick``, that is sent anyway, if that is not too late."""
        if one.place == CLIENT:
            return tick
        return min((at for at in rounds[one.place] if tick <= at <= late[one]), default=tick)

    ticks = dict(_forward(order, origins, in_a_round))
    # The client works when it has to, so that no message waits for what it does not need.
    end = max((tick + distance(one.place, CLIENT) for one, tick in ticks.items() if one in wanted), default=0)
    until: dict[Instance, int] = {}
    for one in reversed(order):
        if one.place == CLIENT:
            ticks[one] = max(ticks[one], until.get(one, end))
        for start in origins[one]:
            bound = ticks[one] - distance(start.place, one.place)
            until[start] = min(until.get(start, bound), bound)
    return ticks


def _forward(
    order: list[Instance],
    origins: Mapping[Instance, tuple[Instance, ...]],
    choose: Callable[[Instance, int], int],
) -> Iterator[tuple[Instance, int]]:
    """The tick of each instance: ``choose`` may put it off from the earliest one."""
    ticks: dict[Instance, int] = {}
    written: dict[str, int] = {}
    read: dict[str, int] = {}
    for one in order:
        place = one.place
        tick = max((ticks[start] + distance(start.place, place) for start in origins[one]), default=0)
        tick = max(tick, _first(place))
        if place and is_timed(one):
            tick = max(tick, read.get(place, 0) if one.node.writes else written.get(place, 0))
            stands_on_values = any(start.place == place and is_timed(start) for start in origins[one])
            tick = tick if stands_on_values else choose(one, tick)
            read[place] = max(read.get(place, 0), tick)
            if one.node.writes:
                written[place] = tick
        elif place:  # a query: what is asked of it may come later, never earlier
            tick = choose(one, tick)
        ticks[one] = tick
        yield one, tick


def _latest(
    order: list[Instance],
    origins: Mapping[Instance, tuple[Instance, ...]],
    outputs: tuple[Instance, ...],
    early: Mapping[Instance, int],
) -> dict[Instance, int]:
    """The last tick of each instance that puts off no output."""
    end = max((early[one] + distance(one.place, CLIENT) for one in outputs), default=0)
    late: dict[Instance, int] = {one: end - distance(one.place, CLIENT) for one in outputs}
    before_write: dict[str, int] = {}  # nothing that was written down before a write runs after it
    before_all: dict[str, int] = {}
    for one in reversed(order):
        place = one.place
        tick = late.setdefault(one, end - distance(place, CLIENT))
        if place and is_timed(one):
            bounds = before_all if one.node.writes else before_write
            tick = late[one] = min(tick, bounds.get(place, tick))
            before_all[place] = min(before_all.get(place, tick), tick)
            if one.node.writes:
                before_write[place] = tick
        for start in origins[one]:
            bound = tick - distance(start.place, place)
            late[start] = min(late.get(start, bound), bound)
    return late


def _rounds(early: Mapping[Instance, int], late: Mapping[Instance, int], wanted: set[Instance]) -> dict[str, list[int]]:
    """For each service, the fewest ticks of which each of its instances can have one (greedy, by its last tick)."""
    rounds: dict[str, list[int]] = {}
    asked = [one for one in early if one.place and (is_timed(one) or one in wanted)]
    for one in sorted(asked, key=lambda one: late[one]):
        ticks = rounds.setdefault(one.place, [])
        if not any(early[one] <= tick <= late[one] for tick in ticks):
            ticks.append(late[one])
    return {place: sorted(ticks) for place, ticks in rounds.items()} | {
        one.place: [] for one in early if one.place and one.place not in rounds
    }
