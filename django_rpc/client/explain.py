"""Explanations of a plan by its services: the SQL of each statement, and refusals."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

from django_rpc.client.forwarding import Forwarding
from django_rpc.errors import RpcError
from django_rpc.graph.delayed.runner import ReportRequest, resolve
from django_rpc.graph.errors import NoRunner
from django_rpc.graph.format import describe
from django_rpc.graph.plan.stages import Plan, Routing, Stage, some
from django_rpc.wire.messages import Response

__all__ = ["explained_by_services", "routing"]


def routing(plan: Plan) -> Routing:
    """Return the routing of values between stages, without stages of unknown services."""
    by_service = plan.runners
    for service in {stage.service for stage in plan.messages if stage.service is not None} - by_service.keys():
        with contextlib.suppress(NoRunner):
            by_service[service] = resolve(service)
    return Forwarding(plan, by_service).routing()


def explained_by_services(plan: Plan) -> dict[int, list[str]]:
    """Return lines about the SQL of each stage of a service, by the number of the stage.

    The services build their statements, and execute none. A service without an explanation has a line with the reason.
    """
    by_service = plan.runners
    lines: dict[int, list[str]] = {}
    calls: dict[int, Any] = {}
    responses: dict[int, Response] = {}
    for number, stage in enumerate(plan.stages):
        if stage.service is None:
            continue
        try:
            runner = by_service.get(stage.service) or resolve(stage.service)
            if not runner.can_explain:
                continue
            if stage.inputs:
                needed = ", ".join(str(earlier + 1) for earlier in stage.after)
                lines[number] = [f"  SQL is known when stage {needed} has run"]
                continue
            send: Any = runner.send
            calls[number] = send(stage, asking=ReportRequest("explain", partial(responses.__setitem__, number)))
        except (NoRunner, RpcError) as error:
            lines[number] = [_without_explanation(error)]
    for number, call in calls.items():
        try:
            call.wait()
        except RpcError as error:
            lines[number] = [_without_explanation(error)]
        if number in responses:
            lines[number] = _lines(plan.stages[number], responses[number])
    return lines


def _without_explanation(error: Exception) -> str:
    return f"  SQL is unknown: {type(error).__name__}: {error}"


def _lines(stage: Stage, response: Response) -> list[str]:
    def named(index: int | None) -> str:
        return describe(stage.nodes[index], 100) if index is not None and index < len(stage.nodes) else "the request"

    shown = [f"{named(entry.node)}: {entry.sql}" for entry in response.trace]
    if not shown:  # the service does not show its SQL
        counts = [f"{cost.statements} statement{'' if cost.statements == 1 else 's'}" for cost in response.costs]
        shown = [f"{named(cost.node)}: {count}, not shown" for cost, count in zip(response.costs, counts, strict=True)]
    refusals = [
        f"{named(error.node)}: {error.remote_name or error.code}: {error.message}" for error in response.refused
    ]
    later = [named(index) for index in response.later]
    reads = [f"{named(read.node)}: {read.kind}, {read.detail}" for read in response.reads]
    return [
        *some("reads", "reads", reads),
        *some("SQL of", "statements", shown),
        *some("SQL known when it runs:", "such nodes", later),
        *some("refused:", "refusals", refusals),
    ]
