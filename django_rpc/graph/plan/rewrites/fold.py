"""Constant folding: operators on plain data, and branches with a known test."""

from __future__ import annotations

import operator
from typing import Any

from django_rpc.graph.nodes import IfElse, Literal, Node, Operator
from django_rpc.graph.plan.expression_graph import ExpressionGraph
from django_rpc.graph.plan.rewrites.replace import replace
from django_rpc.graph.values import ATOMS

__all__ = ["fold_literals"]

#: Operators with a result that is not much larger than their operands.
_SMALL = frozenset("add sub eq ne lt le gt ge neg pos abs not_".split())
_MISSING: Any = object()


def fold_literals(graph: ExpressionGraph) -> ExpressionGraph:
    """Calculate operators on plain data, and replace a `Cond` with a known test by its branch.

    >>> from django_rpc.graph.traversal import topological
    >>> from django_rpc.graph.format import describe
    >>> price = Operator("add", (Literal(3), 4))
    >>> choice = IfElse(Operator("gt", (price, 5)), price, Literal("none"))
    >>> [describe(node) for node in topological([choice])]
    ['3', '(3 + 4)', '((3 + 4) > 5)', "'none'", "cond(((3 + 4) > 5), (3 + 4), 'none')"]
    >>> [describe(node) for node in fold_literals(ExpressionGraph(topological([choice]), (choice,))).outputs]
    ['7']

    An operator that raises an error remains, so that the error is raised when the graph is evaluated.
    """
    return replace(graph, _folded)


def _folded(node: Node) -> Node:
    if isinstance(node, IfElse):
        test = _plain(node.test)
        return node if test is _MISSING else (node.then if test else node.otherwise)
    if isinstance(node, Operator) and node.name in _SMALL:
        args = []
        for operand in node.args:
            value = _plain(operand)
            if value is _MISSING:
                return node
            args.append(value)
        try:
            value = getattr(operator, node.name)(*args)
        except Exception:  # noqa: BLE001 - the evaluation raises it
            return node
        return Literal(value, where=node.where, order=node.order) if type(value) in ATOMS else node
    return node


def _plain(value: Any) -> Any:
    """Return the atom in ``value``, or _MISSING."""
    if isinstance(value, Literal):
        value = value.value
    return value if type(value) in ATOMS else _MISSING
