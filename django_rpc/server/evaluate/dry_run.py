"""Plan of a request for ``asking: "explain"``: its SQL is built and not run, and its refusals are reported.

The engine evaluates the request as usual, but a guard on each database connection records a statement and does not run
it. The value of that read is `Unknown`, and so are all values that depend on it. Writes and the service's registered
code are not called. Only the permission for them is checked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from django.db import connections, transaction
from django.db.models import Model, QuerySet

from django_rpc.graph.nodes import Call, Function, Method, Node, Shipped
from django_rpc.server import pickled_functions as shipped
from django_rpc.server.errors.reports import report
from django_rpc.server.evaluate import calls, prefetch
from django_rpc.server.evaluate.environment import Binding, Environment, Failure
from django_rpc.server.evaluate.profiling import Meter, MeteredEvaluator
from django_rpc.server.evaluate.relations import Relation
from django_rpc.server.evaluate.scheduler import Scheduler
from django_rpc.server.lowering.physical_plan import physical_plan
from django_rpc.server.lowering.query_template import is_terminal
from django_rpc.server.policy.client_policy import CURRENT, Policy
from django_rpc.wire.messages import NodeCost, Request, Response, TraceEntry

__all__ = ["rehearse"]

Shown = Callable[[Any, Any, dict[str, Any]], str]


class NotRun(BaseException):
    """Replaces the rows of a statement. It is not an Exception, so that no code below the engine catches it."""


class Unknown(Exception):
    """Value that is known only when the request runs."""


#: Operations of the methods that write. Permissions for other methods are checked when the request runs.
_OPERATIONS = {
    **dict.fromkeys(("create", "get_or_create", "update_or_create"), "create"),
    **dict.fromkeys(("update", "bulk_update", "getset"), "update"),
    "delete": "delete",
}


def rehearse(request: Request, policy: Policy, tables: Any, locked: list[str], shown: Shown | None) -> Response:
    """Return the reply to a request for an explanation.

    ``tables`` are the engine's visitors and special kinds. ``locked`` are the databases of queries that lock rows.
    ``shown`` returns the text of a statement; None if this service does not show SQL.
    """
    meter = Meter()
    trace: list[TraceEntry] = []
    arguments = (request, policy, any(node.writes for node in request.nodes), {"Prefetch": prefetch.make})
    evaluator = MeteredEvaluator(meter, *arguments)
    token = CURRENT.set(policy)
    try:
        with contextlib.ExitStack() as stack:
            for alias in locked:  # Django requires a transaction before it builds such a query
                stack.enter_context(transaction.atomic(using=alias))
            stack.enter_context(_guarded(meter, trace, shown))
            engine = _Rehearsal(evaluator, *tables)
            failures = _go_through(engine)
        reads = physical_plan(engine)
    finally:
        CURRENT.reset(token)
    for environment in meter.environments:
        for columns in (*environment.columns.values(), *environment.lists.values()):
            failures += [value for value in columns.values() if type(value) is Failure]
    refused = {id(failure.error): failure for failure in failures if type(failure.error) is not Unknown}
    statements = meter.statements
    places = sorted(number for number in statements if number is not None)
    return Response(
        id=request.id,
        trace=tuple(trace),
        costs=tuple([NodeCost(number, 1, 0.0, 0, statements[number]) for number in places]),
        refused=tuple([report(failure.error, failure.position, policy=policy) for failure in refused.values()]),
        reads=reads,
        later=_later(
            request, meter, {*statements, *engine.combined, *[failure.position for failure in refused.values()]}
        ),
    )


class _Rehearsal(Scheduler):
    """Scheduler without rows; ``combined`` has the positions of the nodes that were read together."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.combined: set[int] = set()

    def single(self, node: Node, environment: Environment, row: int) -> Any:
        if not node.writes and not node.runs_service_code:
            try:
                return super().single(node, environment, row)
            except NotRun:
                return Failure(Unknown(), self.ev.position)
        self._at(node, environment, row)
        try:
            _check(self.ev, node)
        except NotRun:
            pass
        except Exception as error:  # noqa: BLE001 - the error would refuse the node
            return getattr(error, "failure", None) or Failure(error, self.place[node])
        return Failure(Unknown(), self.place[node])

    def _group(self, group: list[Node], environment: Environment, rows: list[int]) -> None:
        try:
            super()._group(group, environment, rows)
        except NotRun:
            self.combined |= {self.place[node] for node in group}
            for node in group:
                column = environment.columns.setdefault(node, {})
                for row in rows:
                    column.setdefault(row, Failure(Unknown(), self.place[node]))

    def read_queries(self, bindings: list[Binding]) -> None:
        try:
            super().read_queries(bindings)
        except NotRun:
            self.combined |= {self.place[node] for node, _, _ in bindings}
            for node, environment, row in bindings:
                environment.lists.setdefault(node, {})[row] = Failure(Unknown(), self.place[node])

    def _is_fatal(self, failure: Failure, environment: Environment) -> bool:
        return False


def _go_through(engine: _Rehearsal) -> list[Failure]:
    """Evaluate all nodes and outputs; return the failures that are not the value of a node."""
    evaluator = engine.ev
    failures: list[Failure] = []

    def tried(step: Callable[[], object]) -> None:
        try:
            step()
        except NotRun:
            pass
        except Exception as error:  # noqa: BLE001 - the error would refuse the request
            failures.append(Failure(error, evaluator.position))

    def read(position: int) -> None:
        evaluator.position = position
        value = engine.output(evaluator.request.nodes[position])
        evaluator.position = position
        if isinstance(value, QuerySet | Relation):
            evaluator.results(value.queryset(evaluator) if isinstance(value, Relation) else value)

    tried(engine.run)
    tried(engine.read_outputs)
    for position in evaluator.request.outputs:
        tried(lambda position=position: read(position))  # type: ignore[misc]  # the kind of the node has it
    return failures


def _check(ev: Any, node: Node) -> None:
    """Raise the error that refuses a write or a call of this client."""
    if isinstance(node, Function):
        ev.policy.function(node.name)
    elif isinstance(node, Shipped):
        shipped.check(ev.policy)
    elif hasattr(node, "model"):  # a save or an insert
        ev.policy.require(ev.policy.model(node.model), node.operation)
    elif isinstance(node, Call | Method):
        parent = ev.values[node.parent]
        model = type(parent) if isinstance(parent, Model) else getattr(parent, "model", None)
        if model is not None and isinstance(node, Call):
            calls.registered(ev, model, node.name)
        elif model is not None and node.name in _OPERATIONS:
            ev.policy.require(model, _OPERATIONS[node.name])


def _later(request: Request, meter: Meter, reported: set[int | None]) -> tuple[int, ...]:
    """Return the nodes that read or write without a recorded result: their plan is known only when the request runs.

    ``reported`` are the positions of the nodes with a recorded statement or refusal.
    """
    evaluated: set[Node] = set()
    for environment in meter.environments:
        for node, column in environment.columns.items():
            if column and all(type(value) is not Failure for value in column.values()):
                evaluated.add(node)
    return tuple(
        [
            position
            for position, node in enumerate(request.nodes)
            if (node.writes or is_terminal(node) or node.runs_service_code)
            and node not in evaluated
            and position not in reported
        ]
    )


@contextlib.contextmanager
def _guarded(meter: Meter, trace: list[TraceEntry], shown: Shown | None) -> Iterator[None]:
    """Record each statement on all databases, and raise `NotRun` instead of running it."""

    def wrapper(execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        meter.statements[meter.position] += 1
        if shown is not None:
            text = shown(sql, params, context)
            trace.append(TraceEntry(text if text != "None" else f"{sql} with {params!r}", 0.0, meter.position))
        raise NotRun

    with contextlib.ExitStack() as stack:
        for connection in connections.all():
            if hasattr(connection, "execute_wrapper"):
                stack.enter_context(connection.execute_wrapper(wrapper))
        yield
