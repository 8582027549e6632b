"""A plan: which nodes go to which service in which message, and what runs in the client, before anything is sent."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django_rpc.graph.format import describe
from django_rpc.graph.identity import substitute
from django_rpc.graph.nodes.base import Literal, LocalCall, Node
from django_rpc.graph.nodes.pickled_function import Shipped
from django_rpc.graph.plan.single_reads import asked_singly
from django_rpc.graph.values import freeze

__all__ = ["Given", "Plan", "Stage", "Ways", "explainer", "some"]


class Given(NamedTuple):
    """A value that a stage gets from an earlier one: ``node`` stands for output ``place`` of stage ``stage``."""

    node: Node
    stage: int
    place: int


class Stage(NamedTuple):
    """One message to one service, or what the client does between two messages.

    ``service`` is None for the client.  ``nodes`` are in topological order; ``outputs`` are indices into them.
    ``writes`` says whether the service runs the stage in a transaction.  ``given`` are the nodes that are not among
    ``nodes``, since earlier stages have their values.  Stages of one ``tick`` run at the same time.
    """

    service: str | None
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    writes: bool
    given: tuple[Given, ...] = ()
    tick: int = 1

    @property
    def after(self) -> tuple[int, ...]:
        """The stages that this one waits for."""
        return tuple(sorted({one.stage for one in self.given}))

    def filled(self, results: Mapping[int, Any], handed: Mapping[tuple[int, int], Any] | None = None) -> Stage:
        """The stage as it is sent: values of earlier stages (their outputs, by their numbers) as plain data.

        ``handed`` has, by stage and place, what stands for those values that another service hands over.

        Raises TypeError, with a note that names the node, for a value that cannot be sent.
        """
        if not self.given:
            return self
        replaced: dict[Node, Node] = {}
        for node, stage, place in self.given:
            if handed and (stage, place) in handed:
                replaced[node] = Literal(handed[stage, place], order=node.order, where=node.where)
                continue
            try:
                replaced[node] = Literal(freeze(results[stage][place]), order=node.order, where=node.where)
            except TypeError as error:
                error.add_note(f"It is the value of {describe(node)}, which the service {self.service!r} needs.")
                raise
        nodes = list(replaced.values())
        for node in self.nodes:
            new = substitute(node, replaced)
            if new is not node:
                replaced[node] = new
            nodes.append(new)
        shift = len(self.given)
        return Stage(self.service, tuple(nodes), tuple([place + shift for place in self.outputs]), self.writes)


class Ways(NamedTuple):
    """How values get from stage to stage, as the sessions of the services say.

    ``reasons`` has, by giver and taker, why the client carries them; "" where the giver's service hands them over.
    ``round_trips`` are the messages whose answers the client waits for, ``rounds`` how many times it does.
    """

    reasons: Mapping[tuple[int, int], str]
    round_trips: int
    rounds: int


class Plan(NamedTuple):
    """The stages of a computation, and where each output that was asked for comes from.

    A stage stands after those that it waits for.  ``outputs`` holds, for each output in the order in which it was
    asked for, the index of its stage and its place in that stage's ``outputs``.
    """

    stages: tuple[Stage, ...]
    outputs: tuple[tuple[int, int], ...]

    @property
    def messages(self) -> tuple[Stage, ...]:
        """The stages that are sent to services."""
        return tuple([stage for stage in self.stages if stage.service is not None])

    @property
    def round_trips(self) -> int:
        """How many messages there are: the client waits for each, except where services hand values over (`Ways`)."""
        return len(self.messages)

    @property
    def rounds(self) -> int:
        """How many times the client waits: messages to several services are under way at the same time."""
        return len({stage.tick for stage in self.messages})

    def explain(self, ask: bool = False, runners: Iterable[Any] = ()) -> str:
        """The plan in words.  With ``ask``, also its SQL, and what would be refused: the services are asked for it,
        which build the statements and run none (``runners`` are known ones, others are looked up by name).

        >>> from django_rpc.graph.nodes.base import Method, ModelSource
        >>> from django_rpc.graph.plan.planner import plan
        >>> print(plan([Method(ModelSource("shop.Order", "rpc"), "count")]).explain())
        1 round trip, 2 nodes, 1 output.
        Stage 1: service 'rpc', 2 nodes, reads only (no transaction).
          returns Order.objects.count()
        """
        nodes = sum(len(stage.nodes) for stage in self.stages)
        runners = tuple(runners)
        ways = self.ways(runners)
        trips = _count(ways.round_trips, "round trip")
        if ways.rounds < ways.round_trips:
            trips += f" (in {_count(ways.rounds, 'round')})"
        if ways.round_trips < self.round_trips:
            trips += f", {_count(self.round_trips, 'message')}"
        lines = [f"{trips}, {_count(nodes, 'node')}, {_count(len(self.outputs), 'output')}."]
        said = explainer().said_by_services(self, runners) if ask else {}
        for number, stage in enumerate(self.stages):
            lines += [*self._explain_stage(number, stage, ways), *said.get(number, ())]
        return "\n".join(lines)

    def ways(self, runners: Iterable[Any] = ()) -> Ways:
        """How values get from stage to stage, by these runners; those of other services are looked up by name."""
        if len(self.messages) < 2:
            return Ways({}, self.round_trips, self.rounds)
        found: Ways = explainer().ways(self, runners)
        return found

    def values(self, results: Any) -> list[Any]:
        """The outputs in the order in which they were asked for, from the results of each stage."""
        return [results[stage][place] for stage, place in self.outputs]

    def _explain_stage(self, index: int, stage: Stage, ways: Ways) -> list[str]:
        number = index + 1
        count = _count(len(stage.nodes), "node")
        writes = [node for node in stage.nodes if node.writes]
        if stage.service is None:
            lines = [f"Stage {number}: here, in the client, {count}."]
        elif writes:
            how = f"{_count(len(writes), 'write')}, all in one transaction"
            lines = [f"Stage {number}: service {stage.service!r}, {count}, {how}."]
        else:
            lines = [f"Stage {number}: service {stage.service!r}, {count}, reads only (no transaction)."]
        calls = [node for node in stage.nodes if isinstance(node, LocalCall) and stage.service is None]
        lines += some("needs", "values of other stages", [self._boundary(one, index, ways) for one in stage.given])
        lines += some("calls", "calls", [describe(node, 100) for node in calls])
        lines += some("ships", "functions", [_why_shipped(node) for node in stage.nodes if isinstance(node, Shipped)])
        lines += some("writes", "writes", [describe(node, 100) for node in writes])
        alone = [] if stage.service is None else asked_singly(stage.nodes)
        lines += some("asks one by one", "such reads", [f"{describe(one, 100)}: {why}" for one, why in alone])
        return lines + some("returns", "outputs", [describe(stage.nodes[index], 100) for index in stage.outputs])

    def _boundary(self, given: Given, taker: int, ways: Ways) -> str:
        """What a stage waits for, why that is not a part of it, and how it comes."""
        service = self.stages[given.stage].service
        why = "runs in the client" if service is None else f"is at service {service!r}"
        text = f"{describe(given.node, 100)}, which {why} (stage {given.stage + 1})"
        reason = ways.reasons.get((given.stage, taker))
        if reason is None:
            return text
        return f"{text}: carried by the client, since {reason}" if reason else f"{text}: handed over by that service"


def _why_shipped(node: Shipped) -> str:
    return (
        f"{describe(node, 100)}: {_count(len(node.code), 'byte')} of code go along, so that it runs there, next to "
        "the data, and no round trip stands around it"
    )


def explainer() -> Any:
    """What asks services: ``django_rpc.client.explain``."""
    return importlib.import_module("django_rpc.client.explain")


_SHOWN = 5  # writes and outputs of a stage are named


def some(word: str, noun: str, texts: list[str]) -> list[str]:
    """A line for each of the first few texts, and how many there are where there are more."""
    lines = [f"  {word} {text}" for text in texts[:_SHOWN]]
    return [*lines, f"  … {len(texts)} {noun} in all"] if len(texts) > _SHOWN else lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
