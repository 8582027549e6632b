"""Evaluation of the nodes of a request to the values of its outputs, with one visitor per kind of node."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from django.db import DEFAULT_DB_ALIAS, router, transaction

from django_rpc.graph.nodes import (
    DescribeModels,
    Function,
    Literal,
    ModelSource,
    Node,
    Reduce,
    RequestOutcome,
    ServiceInfo,
    Shipped,
)
from django_rpc.server.errors.failure import Failure
from django_rpc.server.evaluate import calls, elements, methods, prefetch, rows, save, values  # noqa: F401 - @visits
from django_rpc.server.evaluate.dry_run import rehearse
from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.server.evaluate.memory_limits import check_nesting
from django_rpc.server.evaluate.profiling import Meter, MeteredEvaluator
from django_rpc.server.evaluate.relations import Relation
from django_rpc.server.evaluate.scheduler import Scheduler, is_read
from django_rpc.server.ledger.ledger import Duplicate, Entry, became_of
from django_rpc.server.policy.client_policy import CURRENT, Policy
from django_rpc.server.registry.schema import describe_models
from django_rpc.server.registry.service_info import about
from django_rpc.server.visitors import BATCH_VISITORS, VISITORS, check_complete, visits
from django_rpc.wire.messages import NodeCost, Request, Response

__all__ = ["VISITORS", "EvaluationError", "Meter", "evaluate", "explain"]

Costs = tuple[NodeCost, ...]


class EvaluationError(Exception):
    """Error of an evaluation: the cause is in ``__cause__``, and ``node`` is the index of the node that raised it."""

    def __init__(self, node: int | None) -> None:
        super().__init__(node)
        self.node = node


@visits(ModelSource)
def _source(ev: Evaluator, node: ModelSource) -> Any:
    return ev.source(node)


@visits(Literal)
def _literal(ev: Evaluator, node: Literal) -> Any:
    return ev.references.rows(ev.sizes.check(ev.resolve(node.value)))


@visits(RequestOutcome)
def _outcome(ev: Evaluator, node: RequestOutcome) -> Any:
    return became_of(ev.policy.request.client, node.request, settle=node.settle, limits=ev.policy.budget.limits)


@visits(ServiceInfo)
def _about(ev: Evaluator, node: ServiceInfo) -> Any:
    return about(ev.policy)


@visits(DescribeModels)
def _schema(ev: Evaluator, node: DescribeModels) -> Any:
    return ev.once(("schema", node.models), lambda: describe_models(ev.policy, node.models))


check_complete()


def evaluate(
    request: Request, policy: Policy, meter: Meter | None = None, entry: Entry | None = None
) -> tuple[tuple[Any, ...], Costs]:
    """Return the outputs of ``request`` in a form that the codec can encode, and their costs by ``meter``.

    Raises EvaluationError.

    A request with a writing node runs in one transaction on each of its databases. A request that only reads opens no
    transaction. A write has an entry in the ledger, in the same transaction; raises Duplicate if it exists already.
    """
    writes = any(node.writes for node in request.nodes)
    special: dict[str, Callable[[Evaluator, Any], Any]] = {"Prefetch": prefetch.make}
    if meter is None:
        evaluator = Evaluator(request, policy, writes, special)
    else:
        evaluator = MeteredEvaluator(meter, request, policy, writes, special)
    token = CURRENT.set(policy)
    try:
        check_nesting(request.nodes, policy.budget.limits)
        with contextlib.ExitStack() as stack:
            if writes or any(_locks(node) for node in request.nodes):
                evaluator.in_transaction = True
                databases = _databases(request, policy)
                if entry is not None:
                    entry.place(databases, policy.request.client)
                for alias in databases:
                    stack.enter_context(transaction.atomic(using=alias))
                if entry is not None:
                    stack.enter_context(entry.guarding())
                    evaluator.before_own_code = entry.make
            outputs = _run_together(evaluator) if _has_many(request) else _run(evaluator)
            # Checked before the transactions end, because the service's code may have caught the error.
            policy.budget.check()
            if entry is not None:
                entry.keep(outputs, policy.budget.limits)
            return outputs, () if meter is None else meter.costs(evaluator, outputs)
    except (EvaluationError, Duplicate):
        if entry is not None:
            entry.check()
        raise
    except Exception as error:
        # For example, a constraint that the database checks when the transaction ends.
        raise EvaluationError(None) from error
    finally:
        CURRENT.reset(token)


def explain(request: Request, policy: Policy, shown: Callable[[Any, Any, dict[str, Any]], str] | None) -> Response:
    """Return the plan of ``request`` and its refusals, without running it (`rehearsal`)."""
    try:
        check_nesting(request.nodes, policy.budget.limits)
        locked = _databases(request, policy) if any(_locks(node) for node in request.nodes) else []
        return rehearse(request, policy, (VISITORS, BATCH_VISITORS), locked, shown)
    except Exception as error:
        raise EvaluationError(None) from error


def _run(evaluator: Evaluator) -> tuple[Any, ...]:
    nodes, done, results = evaluator.request.nodes, evaluator.values, evaluator.results
    needed = {source for node in nodes for source in node.inputs()}
    try:
        for position, node in enumerate(nodes):
            evaluator.position = position
            evaluator.is_leaf = node not in needed
            evaluator.policy.budget.check()
            done[node] = VISITORS[type(node)](evaluator, node)
        outputs = []
        for position in evaluator.request.outputs:
            evaluator.position = position
            value = done[nodes[position]]
            outputs.append(results(value.queryset(evaluator) if isinstance(value, Relation) else value))
        return tuple(outputs)
    except Exception as error:
        raise EvaluationError(evaluator.position) from error


def _has_many(request: Request) -> bool:
    """Return True if the request can have several reads of one template, or several outputs that fail separately."""
    if len(request.outputs) > 1:
        return True
    reads = 0
    for node in request.nodes:
        if node.binds_element or node.is_element or node.is_conditional or type(node) is Reduce:
            return True
        reads += is_read(node)
        if reads > 1:
            return True
    return False


def _run_together(evaluator: Evaluator) -> tuple[Any, ...]:
    try:
        engine = Scheduler(evaluator, VISITORS, BATCH_VISITORS)
        engine.run()
        engine.read_outputs()
        positions = evaluator.request.outputs
        return tuple([_output(engine, position, len(positions) > 1) for position in positions])
    except Exception as error:
        raise EvaluationError(evaluator.position) from error


def _output(engine: Scheduler, position: int, several: bool) -> Any:
    """Return one output in a form that the codec can encode.

    Raises the error of the output, unless the request only reads and has several outputs.
    """
    evaluator = engine.ev
    value = engine.output(evaluator.request.nodes[position])
    evaluator.position = position
    if type(value) is not Failure:
        try:
            return evaluator.results(value.queryset(evaluator) if isinstance(value, Relation) else value)
        except Exception as error:
            if not several or evaluator.writes:
                raise
            value = Failure(error, position)
    if several and not evaluator.writes:
        return value.report()
    evaluator.position = value.position
    raise value.error


def _locks(node: Node) -> bool:
    return node.method_name == "select_for_update"


def _databases(request: Request, policy: Policy) -> list[str]:
    """Return the databases that the models and functions of the request write to."""
    labels = {node.model for node in request.nodes if hasattr(node, "model")}
    aliases = set()
    for label in labels:
        with contextlib.suppress(LookupError):  # raised again, with the index of the node, by the evaluation
            aliases.add(router.db_for_write(policy.model(label)))
    for name in {node.name for node in request.nodes if isinstance(node, Function)}:
        with contextlib.suppress(LookupError):
            function = policy.function(name)
            aliases.update(() if function.reads_only else function.databases)
    if any(node.writes for node in request.nodes if isinstance(node, Shipped)):
        aliases.add(DEFAULT_DB_ALIAS)
    return sorted(aliases)
