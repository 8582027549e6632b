"""``explain()``, with what the services say of it: the SQL of each statement, and what they would refuse."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from django_rpc.client.forwarding import Forwarding
from django_rpc.errors import RpcError
from django_rpc.graph.delayed.runner import Asking, Runner, ServiceRunner, resolve
from django_rpc.graph.errors import NoRunner
from django_rpc.graph.format import describe
from django_rpc.graph.plan.stages import Plan, Routing, Stage, some
from django_rpc.wire.messages import Response

__all__ = ["routing", "said_by_services"]


def routing(plan: Plan, runners: Iterable[Runner] = ()) -> Routing:
    """How values get from stage to stage; nothing is said of services that nobody knows."""
    known = {runner.service: runner for runner in reversed(list(runners)) if type(runner) is not ServiceRunner}
    for service in {stage.service for stage in plan.messages if stage.service is not None} - known.keys():
        with contextlib.suppress(NoRunner):
            known[service] = resolve(service)
    return Forwarding(plan, known).routing()


def said_by_services(plan: Plan, runners: Iterable[Runner] = ()) -> dict[int, list[str]]:
    """For each stage of a service, by its number, the lines that tell of its SQL.

    The services build their statements, and run none.  A service that cannot be asked has a line that says why.
    """
    given = {runner.service: runner for runner in reversed(list(runners))}
    lines: dict[int, list[str]] = {}
    calls: dict[int, Any] = {}
    told: dict[int, Response] = {}
    for number, stage in enumerate(plan.stages):
        if stage.service is None:
            continue
        try:
            runner = given.get(stage.service) or resolve(stage.service)
            if not getattr(runner, "can_explain", False):
                continue
            if stage.inputs:
                needed = ", ".join(str(one + 1) for one in stage.after)
                lines[number] = [f"  SQL is known when stage {needed} has run"]
                continue
            send: Any = runner.send
            calls[number] = send(stage, asking=Asking("explain", _put(told, number)))
        except (NoRunner, RpcError) as error:
            lines[number] = [_not_asked(error)]
    for number, call in calls.items():
        try:
            call.wait()
        except RpcError as error:
            lines[number] = [_not_asked(error)]
        if number in told:
            lines[number] = _lines(plan.stages[number], told[number])
    return lines


def _put(told: dict[int, Response], number: int) -> Any:
    return lambda response: told.__setitem__(number, response)


def _not_asked(error: Exception) -> str:
    return f"  SQL not asked for: {type(error).__name__}: {error}"


def _lines(stage: Stage, response: Response) -> list[str]:
    def named(index: int | None) -> str:
        return describe(stage.nodes[index], 100) if index is not None and index < len(stage.nodes) else "the request"

    shown = [f"{named(one.node)}: {one.sql}" for one in response.trace]
    if not shown:  # the service keeps its SQL to itself
        counts = [f"{one.statements} statement{'' if one.statements == 1 else 's'}" for one in response.costs]
        shown = [f"{named(one.node)}: {count}, not shown" for one, count in zip(response.costs, counts, strict=True)]
    refusals = [f"{named(one.node)}: {one.remote_name or one.code}: {one.message}" for one in response.refused]
    later = [named(index) for index in response.later]
    return [
        *some("SQL of", "statements", shown),
        *some("SQL known when it runs:", "such nodes", later),
        *some("refused:", "refusals", refusals),
    ]
