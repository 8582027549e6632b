"""Evaluation of nodes in the client, by the rules of Python: local functions and operations on their results."""

from __future__ import annotations

import contextlib
import operator
import time
from collections.abc import Callable, Mapping
from typing import Any

from django_rpc.graph.errors import FailedGraph
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
    nodes_in,
)
from django_rpc.graph.nodes.collections import Element, Filter, IfElse, Map, Reduce, free_params, total
from django_rpc.graph.nodes.pickled_function import Shipped
from django_rpc.graph.nodes.remote_function import Function
from django_rpc.graph.plan.stages import Stage
from django_rpc.graph.traversal import topological
from django_rpc.graph.values import ATOMS

__all__ = ["evaluate", "run_stage"]

_Values = Mapping[Node, Any]


class _Frame(dict[Node, Any]):
    """The values of nodes. In a map it has the values of one element, and ``outer`` has the other values.

    A node without a value is evaluated at its first lookup.
    """

    __slots__ = ("outer",)

    def __init__(self, values: Mapping[Node, Any], outer: _Frame | None = None) -> None:
        super().__init__(values)
        self.outer = outer

    def __missing__(self, node: Node) -> Any:
        frame = self.outer
        while frame is not None:
            if node in frame:
                return frame[node]
            frame = frame.outer
        value = self[node] = evaluate(node, self)
        return value


def _for_each(node: Map | Filter, values: _Values) -> list[tuple[Any, Any]]:
    """Return each element with the body's value for it, or with the error if the map collects errors."""
    results = []
    for element in values[node.parent]:
        frame = _Frame({node.param: element}, values)  # type: ignore[arg-type]
        try:
            results.append((element, frame[node.body]))
        except Exception as error:
            if not getattr(node, "errors", False):
                raise
            results.append((element, error))
    return results


_FOLDS: dict[str, Callable[[Any], Any]] = {
    "sum": total,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
    "any": any,
    "all": all,
    "len": len,
}


def _refuse(node: Node, values: _Values) -> Any:
    raise TypeError(f"{describe(node)} runs at a service, and never in the client.")


#: Function for each node kind: computes the value of a node from the values of its inputs.
EVALUATORS: dict[type[Node], Callable[[Any, _Values], Any]] = {
    LocalCall: lambda node, values: _resolved(node.function, values)(
        *[_resolved(value, values) for value in node.args],
        **{name: _resolved(value, values) for name, value in node.kwargs.items()},
    ),
    Opaque: lambda node, values: _resolved(node.value, values),
    Literal: lambda node, values: _resolved(node.value, values),
    Operator: lambda node, values: getattr(operator, node.name)(*[_resolved(value, values) for value in node.args]),
    Attr: lambda node, values: getattr(values[node.parent], node.name),
    Item: lambda node, values: values[node.parent][_resolved(node.key, values)],
    Method: lambda node, values: getattr(values[node.parent], node.name)(
        *_resolved(node.args, values), **_resolved(node.kwargs, values)
    ),
    Map: lambda node, values: [value for _, value in _for_each(node, values)],
    Filter: lambda node, values: [element for element, value in _for_each(node, values) if value],
    Reduce: lambda node, values: _FOLDS[node.name](values[node.parent]),
    IfElse: lambda node, values: values[node.then if values[node.test] else node.otherwise],
    Element: _refuse,
    Call: _refuse,
    ModelSource: _refuse,
    Save: _refuse,
    Insert: _refuse,
    RequestOutcome: _refuse,
    ServiceInfo: _refuse,
    DescribeModels: _refuse,
    Function: _refuse,
    Shipped: _refuse,
    Rows: _refuse,
    Column: _refuse,
}
if missing := set(ALL_KINDS.values()) ^ set(EVALUATORS):
    raise TypeError(f"evaluate.py has no evaluator for {missing}.")


def evaluate(node: Node, values: _Values) -> Any:
    """Compute the value of ``node`` from the values of its inputs.

    >>> evaluate(Operator("add", (1, 2)), {})
    3

    Raises the error of the user's function, with a note that names the node and the line that built it.
    """
    try:
        return EVALUATORS[type(node)](node, values)
    except Exception as error:
        explain(error, node)
        raise


def explain(error: BaseException, node: Node) -> None:
    """Add a note to an exception: the node of the client that failed, and the line that built it."""
    where = "" if node.where is None else f"\nwritten at {node.where[0]}:{node.where[1]}"
    error.add_note(f"failed in the client: {describe(node)}{where}")


def run_stage(
    stage: Stage, results: Mapping[int, Any], told: Callable[[Node, float, Any], object] | None = None
) -> list[Any]:
    """Compute the outputs of a client stage from the results of earlier stages; report node times to ``told``."""
    values = _Frame({node: results[number][place] for node, number, place in stage.inputs})
    now = _evaluated_once(stage)
    outputs = tuple([stage.nodes[index] for index in stage.outputs])
    for node in stage.nodes:  # topological order, so that a long chain does not recurse
        if node in now:
            begun = time.perf_counter() if told is not None else 0.0
            try:
                values[node] = evaluate(node, values)
            except Exception as error:
                with contextlib.suppress(AttributeError):  # a class with __slots__
                    error.rpc_graph = FailedGraph(outputs, node)  # type: ignore[attr-defined]
                raise
            if told is not None:
                told(node, time.perf_counter() - begun, values[node])
    return [values[node] for node in outputs]


def _evaluated_once(stage: Stage) -> set[Node]:
    """Return the nodes that are certainly evaluated and have one value: not inside a map or a branch of a condition."""
    stage_nodes = set(stage.nodes)
    if not any(isinstance(node, Map | Filter | IfElse) for node in stage.nodes):
        return stage_nodes
    stack = [stage.nodes[index] for index in stage.outputs]
    elements = free_params(topological(stack))
    seen = set(stack)
    while stack:
        node = stack.pop()
        for below in [node.test] if isinstance(node, IfElse) else node.inputs():
            if below in stage_nodes and below not in seen:
                seen.add(below)
                stack.append(below)
    return {node for node in seen if not elements[node]}


def _resolved(value: Any, values: _Values) -> Any:
    """Replace the nodes in ``value`` by their values. An atom is returned unchanged."""
    kind = type(value)
    if kind in ATOMS:
        return value
    if isinstance(value, Node):
        return values[value]
    if kind in (list, tuple, set, frozenset):
        return kind([item if type(item) in ATOMS else _resolved(item, values) for item in value])
    if kind is dict:
        return {_resolved(name, values): _resolved(item, values) for name, item in value.items()}
    if kind is slice and any(True for _ in nodes_in(value)):
        return slice(*[_resolved(part, values) for part in (value.start, value.stop, value.step)])
    return value
