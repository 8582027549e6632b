"""From the nodes of a request to the values of its outputs: one visitor per kind of node."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from django.db import router, transaction

from django_rpc.graph.node import (
    KINDS,
    Attr,
    Call,
    Column,
    Insert,
    Item,
    Literal,
    Method,
    Node,
    Operator,
    Rows,
    Save,
    Schema,
    Source,
)
from django_rpc.server.evaluate import calls, methods, prefetch, rows, save, values
from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.server.evaluate.relations import Relation
from django_rpc.server.policy import CURRENT, Policy
from django_rpc.server.schema import describe_models
from django_rpc.wire.messages import Request

__all__ = ["VISITORS", "EvaluationError", "evaluate"]


class EvaluationError(Exception):
    """Carries what went wrong (``__cause__``) together with the index of the node at which it did."""

    def __init__(self, node: int | None) -> None:
        super().__init__(node)
        self.node = node


VISITORS: dict[type[Node], Callable[[Evaluator, Any], Any]] = {
    Source: lambda ev, node: ev.objects(ev.policy.model(node.model)),
    Method: methods.visit,
    Call: calls.visit,
    Attr: values.attribute,
    Item: values.item,
    Operator: values.operate,
    Literal: lambda ev, node: ev.resolve(node.value),
    Rows: rows.visit_rows,
    Column: rows.visit_column,
    Save: save.visit_save,
    Insert: save.visit_insert,
    Schema: lambda ev, node: describe_models(ev.policy, node.models),
}

if set(VISITORS) != set(KINDS.values()):
    missing = {kind.__name__ for kind in KINDS.values()} ^ {kind.__name__ for kind in VISITORS}
    raise ImportError(f"Kinds of nodes and visitors of the server differ in {', '.join(sorted(missing))}.")


def evaluate(request: Request, policy: Policy) -> tuple[Any, ...]:
    """The outputs of ``request`` as values that the codec can write; raises EvaluationError.

    A request with a writing node runs in one transaction on each database concerned; one that only reads opens none.
    """
    writes = any(node.writes for node in request.nodes)
    evaluator = Evaluator(request, policy, writes, {"Prefetch": prefetch.make})
    token = CURRENT.set(policy)
    try:
        with contextlib.ExitStack() as stack:
            if writes or any(_locks(node) for node in request.nodes):
                for alias in _databases(request, policy):
                    stack.enter_context(transaction.atomic(using=alias))
            return _run(evaluator)
    except EvaluationError:
        raise
    except Exception as error:
        # A constraint that the database checks when the transaction ends.
        raise EvaluationError(None) from error
    finally:
        CURRENT.reset(token)


def _run(evaluator: Evaluator) -> tuple[Any, ...]:
    nodes, done, results = evaluator.request.nodes, evaluator.values, evaluator.results
    needed = {source for node in nodes for source in node.inputs()}
    try:
        for position, node in enumerate(nodes):
            evaluator.position = position
            evaluator.is_leaf = node not in needed
            done[node] = VISITORS[type(node)](evaluator, node)
        outputs = []
        for position in evaluator.request.outputs:
            evaluator.position = position
            value = done[nodes[position]]
            outputs.append(results(value.queryset(evaluator) if isinstance(value, Relation) else value))
        return tuple(outputs)
    except Exception as error:
        raise EvaluationError(evaluator.position) from error


def _locks(node: Node) -> bool:
    return isinstance(node, Method) and node.name == "select_for_update"


def _databases(request: Request, policy: Policy) -> list[str]:
    """The databases that the models of the request are written to."""
    labels = {node.model for node in request.nodes if isinstance(node, Source | Save | Insert)}
    aliases = set()
    for label in labels:
        with contextlib.suppress(LookupError):  # said again, with its node, when that is evaluated
            aliases.add(router.db_for_write(policy.model(label)))
    return sorted(aliases)
