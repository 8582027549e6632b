"""A plan: the messages to services, and the work of the client between them, before anything is sent."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from django_rpc.graph.format import describe
from django_rpc.graph.identity import substitute
from django_rpc.graph.nodes import Literal, LocalCall, ModelSource, Node, Shipped
from django_rpc.graph.values import freeze

__all__ = ["Plan", "Routing", "Stage", "StageInput", "explainer", "some"]


class StageInput(NamedTuple):
    """A value from an earlier stage: ``node`` is output ``place`` of stage number ``stage``."""

    node: Node
    stage: int
    place: int


class Stage(NamedTuple):
    """One message to one service, or the work of the client between two messages.

    ``service`` is None for the client. ``nodes`` are in topological order; ``outputs`` are indices into them. With
    ``writes``, the service runs the stage in a transaction. ``inputs`` are the values from earlier stages; their nodes
    are not among ``nodes``. Stages of one ``round`` run at the same time.
    """

    service: str | None
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    writes: bool
    inputs: tuple[StageInput, ...] = ()
    round: int = 1

    @property
    def after(self) -> tuple[int, ...]:
        """Return the numbers of the stages that this stage waits for."""
        return tuple(sorted({value.stage for value in self.inputs}))

    def filled(self, results: Mapping[int, Any], forwarded: Mapping[tuple[int, int], Any] | None = None) -> Stage:
        """Return the stage as it is sent: with literals in place of its inputs.

        ``results`` are the outputs of earlier stages by their number. ``forwarded`` has placeholders, by stage and
        place, for the values that another service forwards.

        Raises TypeError, with a note that names the node, for a value that cannot be sent.
        """
        if not self.inputs:
            return self
        replaced: dict[Node, Node] = {}
        for node, stage, place in self.inputs:
            if forwarded and (stage, place) in forwarded:
                replaced[node] = Literal(forwarded[stage, place], order=node.order, where=node.where)
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
        shift = len(self.inputs)
        return Stage(self.service, tuple(nodes), tuple([place + shift for place in self.outputs]), self.writes)


class Routing(NamedTuple):
    """The paths of values between stages, which the sessions of the services determine.

    ``reasons`` has a text for two stages if the client carries the values from the first to the second, and "" if the
    first service forwards them. ``round_trips`` is the number of messages that the client waits for, and ``rounds`` the
    number of times that it waits.
    """

    reasons: Mapping[tuple[int, int], str]
    round_trips: int
    rounds: int


class Plan(NamedTuple):
    """The stages of a computation, and the address of each output.

    A stage follows the stages that it waits for. ``outputs`` has, for each output of the computation, the number of its
    stage and its place in the ``outputs`` of that stage.
    """

    stages: tuple[Stage, ...]
    outputs: tuple[tuple[int, int], ...]

    @property
    def messages(self) -> tuple[Stage, ...]:
        """Return the stages that are sent to services."""
        return tuple([stage for stage in self.stages if stage.service is not None])

    @property
    def round_trips(self) -> int:
        """Return the number of messages; the client waits for fewer if services forward values (`Routing`)."""
        return len(self.messages)

    @property
    def rounds(self) -> int:
        """Return how often the client waits; messages of one round are under way at the same time."""
        return len({stage.round for stage in self.messages})

    @property
    def runners(self) -> dict[str, Any]:
        """Return the sessions that the sources have, by their services; other sessions are looked up by name."""
        nodes = (node for stage in self.messages for node in stage.nodes)
        return {node.service: node.runner for node in nodes if type(node) is ModelSource and node.runner is not None}

    def explain(self, ask: bool = False) -> str:
        """Describe the plan in words. With ``ask``, the services add their SQL and the operations that they refuse.

        They build the statements and run none.

        >>> from django_rpc.graph.nodes import Method, ModelSource
        >>> from django_rpc.graph.plan.pipeline import plan
        >>> print(plan([Method(ModelSource("shop.Order", "rpc"), "count")]).explain())
        1 round trip, 2 nodes, 1 output.
        Stage 1: service 'rpc', 2 nodes, reads only (no transaction).
          returns Order.objects.count()
        """
        nodes = sum(len(stage.nodes) for stage in self.stages)
        routing = self.routing()
        trips = _count(routing.round_trips, "round trip")
        if routing.rounds < routing.round_trips:
            trips += f" (in {_count(routing.rounds, 'round')})"
        if routing.round_trips < self.round_trips:
            trips += f", {_count(self.round_trips, 'message')}"
        lines = [f"{trips}, {_count(nodes, 'node')}, {_count(len(self.outputs), 'output')}."]
        answers = explainer().explained_by_services(self) if ask else {}
        for number, stage in enumerate(self.stages):
            lines += [*self._explain_stage(number, stage, routing), *answers.get(number, ())]
        return "\n".join(lines)

    def routing(self) -> Routing:
        """Return the paths of values between stages."""
        if len(self.messages) < 2:
            return Routing({}, self.round_trips, self.rounds)
        routing: Routing = explainer().routing(self)
        return routing

    def values(self, results: Any) -> list[Any]:
        """Return the values of the outputs, from the results of each stage."""
        return [results[stage][place] for stage, place in self.outputs]

    def _explain_stage(self, index: int, stage: Stage, routing: Routing) -> list[str]:
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
        lines += some(
            "needs", "values of other stages", [self._boundary(value, index, routing) for value in stage.inputs]
        )
        lines += some("calls", "calls", [describe(node, 100) for node in calls])
        lines += some("ships", "functions", [_why_shipped(node) for node in stage.nodes if isinstance(node, Shipped)])
        lines += some("writes", "writes", [describe(node, 100) for node in writes])
        return lines + some("returns", "outputs", [describe(stage.nodes[index], 100) for index in stage.outputs])

    def _boundary(self, value: StageInput, receiver: int, routing: Routing) -> str:
        """Describe an input of a stage: its node, its place and its path."""
        service = self.stages[value.stage].service
        place = "runs in the client" if service is None else f"is at service {service!r}"
        text = f"{describe(value.node, 100)}, which {place} (stage {value.stage + 1})"
        reason = routing.reasons.get((value.stage, receiver))
        if reason is None:
            return text
        return f"{text}: carried by the client, since {reason}" if reason else f"{text}: forwarded by that service"


def _why_shipped(node: Shipped) -> str:
    return (
        f"{describe(node, 100)}: {_count(len(node.code), 'byte')} of code go along, so that it runs there, next to "
        "the data, and no round trip stands around it"
    )


def explainer() -> Any:
    """Return the module that sends requests of ``explain()``: ``django_rpc.client.explain``."""
    return importlib.import_module("django_rpc.client.explain")


_SHOWN = 5  # lines of each kind


def some(word: str, noun: str, texts: list[str]) -> list[str]:
    """Return a line for each of the first texts, and a line with their number if there are more."""
    lines = [f"  {word} {text}" for text in texts[:_SHOWN]]
    return [*lines, f"  … {len(texts)} {noun} in all"] if len(texts) > _SHOWN else lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
