"""Evaluation of nodes in the client, by the rules of Python: local functions and operations on their results."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from django_rpc.graph.errors import FailedGraph
from django_rpc.graph.format import describe
from django_rpc.graph.nodes import Node
from django_rpc.graph.nodes.collections import Scope, free_params
from django_rpc.graph.plan.stages import Stage
from django_rpc.graph.traversal import topological
from django_rpc.graph.walk import map_leaves

__all__ = ["Values", "evaluate", "run_stage"]


class Values(dict[Node, Any]):
    """The values of nodes. In a map it has the values of one element, and ``outer`` has the other values.

    A node without a value is evaluated at its first lookup.
    """

    __slots__ = ("outer",)

    def __init__(self, values: Mapping[Node, Any], outer: Values | None = None) -> None:
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

    def resolve(self, value: Any) -> Any:
        """Replace the nodes in ``value`` by their values. An atom is returned unchanged."""
        if isinstance(value, Node):
            return self[value]
        return map_leaves(value, lambda leaf: self[leaf] if isinstance(leaf, Node) else leaf)

    def each(self, scope: Scope, collects_errors: bool = False) -> list[tuple[Any, Any]]:
        """Return each element of a scope with the value of the body for it.

        With ``collects_errors``, an error takes the place of the value.
        """
        results: list[tuple[Any, Any]] = []
        for element in self[scope.parent]:
            try:
                results.append((element, Values({scope.param: element}, self)[scope.body]))
            except Exception as error:
                if not collects_errors:
                    raise
                results.append((element, error))
        return results


def evaluate(node: Node, values: Values) -> Any:
    """Compute the value of ``node`` from the values of its inputs.

    >>> from django_rpc.graph.nodes import Operator
    >>> evaluate(Operator("add", (1, 2)), Values({}))
    3

    Raises the error of the user's function, with a note that names the node and the line that built it.
    """
    try:
        return node.compute(values)
    except Exception as error:
        explain(error, node)
        raise


def explain(error: BaseException, node: Node) -> None:
    """Add a note to an exception: the node of the client that failed, and the line that built it."""
    where = "" if node.where is None else f"\nwritten at {node.where[0]}:{node.where[1]}"
    error.add_note(f"failed in the client: {describe(node)}{where}")


def run_stage(
    stage: Stage, results: Mapping[int, Any], report: Callable[[Node, float, Any], object] | None = None
) -> list[Any]:
    """Compute the outputs of a client stage from the results of earlier stages; pass node times to ``report``."""
    values = Values({node: results[number][place] for node, number, place in stage.inputs})
    now = _evaluated_once(stage)
    outputs = tuple([stage.nodes[index] for index in stage.outputs])
    for node in stage.nodes:  # topological order, so that a long chain does not recurse
        if node in now:
            begun = time.perf_counter() if report is not None else 0.0
            try:
                values[node] = evaluate(node, values)
            except Exception as error:
                with contextlib.suppress(AttributeError):  # a class with __slots__
                    error.rpc_graph = FailedGraph(outputs, node)  # type: ignore[attr-defined]  # a note on the object
                raise
            if report is not None:
                report(node, time.perf_counter() - begun, values[node])
    return [values[node] for node in outputs]


def _evaluated_once(stage: Stage) -> set[Node]:
    """Return the nodes that are certainly evaluated and have one value: not inside a map or a branch of a condition."""
    stage_nodes = set(stage.nodes)
    if not any(node.binds_element or node.is_conditional for node in stage.nodes):
        return stage_nodes
    stack = [stage.nodes[index] for index in stage.outputs]
    elements = free_params(topological(stack))
    seen = set(stack)
    while stack:
        node = stack.pop()
        for below in node.certain_inputs():
            if below in stage_nodes and below not in seen:
                seen.add(below)
                stack.append(below)
    return {node for node in seen if not elements[node]}
