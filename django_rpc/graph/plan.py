"""A plan: which nodes go to which service in which message, before anything is sent."""

from __future__ import annotations

from typing import Any, NamedTuple

from django_rpc.graph.describe import describe
from django_rpc.graph.node import Node

__all__ = ["Plan", "Stage"]


class Stage(NamedTuple):
    """One message to one service.

    ``nodes`` are in topological order; ``outputs`` are indices into them.  ``service`` is None where nothing but
    plain data was asked for, which any service can send back.  ``writes`` says whether the service runs the
    stage in a transaction.
    """

    service: str | None
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    writes: bool


class Plan(NamedTuple):
    """The stages of a computation, and where each output that was asked for comes from.

    ``outputs`` holds, for each output in the order in which it was asked for, the index of its stage and its
    place in that stage's ``outputs``.
    """

    stages: tuple[Stage, ...]
    outputs: tuple[tuple[int, int], ...]

    @property
    def round_trips(self) -> int:
        """How many messages the client sends and waits for."""
        return len(self.stages)

    def explain(self) -> str:
        """The plan in words.

        >>> from django_rpc.graph.node import Method, Source
        >>> from django_rpc.graph.planner import plan
        >>> print(plan([Method(Source("shop.Order", "rpc"), "count")]).explain())
        1 round trip, 2 nodes, 1 output.
        Stage 1: service 'rpc', 2 nodes, reads only (no transaction).
          returns Order.objects.count()
        """
        nodes = sum(len(stage.nodes) for stage in self.stages)
        lines = [
            f"{_count(self.round_trips, 'round trip')}, {_count(nodes, 'node')}, {_count(len(self.outputs), 'output')}."
        ]
        for number, stage in enumerate(self.stages, 1):
            lines += _explain_stage(number, stage)
        return "\n".join(lines)

    def values(self, results: list[list[Any]]) -> list[Any]:
        """The outputs in the order in which they were asked for, from the results of each stage."""
        return [results[stage][place] for stage, place in self.outputs]


def _explain_stage(number: int, stage: Stage) -> list[str]:
    service = f"service {stage.service!r}" if stage.service is not None else "any service"
    writes = [node for node in stage.nodes if node.writes]
    if writes:
        how = f"{_count(len(writes), 'write')}, all in one transaction"
    else:
        how = "reads only (no transaction)"
    lines = [f"Stage {number}: {service}, {_count(len(stage.nodes), 'node')}, {how}."]
    lines += [f"  writes {describe(node, 100)}" for node in writes[:_SHOWN]]
    if len(writes) > _SHOWN:
        lines.append(f"  … {len(writes)} writes in all")
    lines += [f"  returns {describe(stage.nodes[index], 100)}" for index in stage.outputs[:_SHOWN]]
    if len(stage.outputs) > _SHOWN:
        lines.append(f"  … {len(stage.outputs)} outputs in all")
    return lines


_SHOWN = 5  # writes and outputs of a stage are named


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
