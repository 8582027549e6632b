"""What can be said already is said: operators on plain data, and conds whose test is known."""

from __future__ import annotations

import operator
from typing import Any

from django_rpc.graph.nodes.base import Literal, Node, Operator
from django_rpc.graph.nodes.collections import IfElse
from django_rpc.graph.plan.rewrites.draft import Draft
from django_rpc.graph.plan.rewrites.replace import replace
from django_rpc.graph.values import ATOMS

__all__ = ["fold_literals"]

#: Operators whose result is never much larger than what they are given.
_SMALL = frozenset("add sub eq ne lt le gt ge neg pos abs not_".split())
_MISSING: Any = object()


def fold_literals(draft: Draft) -> Draft:
    """The draft with the values of what is made from plain data alone.

    >>> from django_rpc.graph.plan.dag import topological
    >>> from django_rpc.graph.format import describe
    >>> price = Operator("add", (Literal(3), 4))
    >>> choice = IfElse(Operator("gt", (price, 5)), price, Literal("none"))
    >>> [describe(node) for node in topological([choice])]
    ['3', '(3 + 4)', '((3 + 4) > 5)', "'none'", "cond(((3 + 4) > 5), (3 + 4), 'none')"]
    >>> [describe(node) for node in fold_literals(Draft(topological([choice]), (choice,))).outputs]
    ['7']

    What would raise is left as it is, so that it raises where it is evaluated.
    """
    return replace(draft, _folded)


def _folded(node: Node) -> Node:
    if isinstance(node, IfElse):
        test = _plain(node.test)
        return node if test is _MISSING else (node.then if test else node.otherwise)
    if isinstance(node, Operator) and node.name in _SMALL:
        args = []
        for given in node.args:
            value = _plain(given)
            if value is _MISSING:
                return node
            args.append(value)
        try:
            value = getattr(operator, node.name)(*args)
        except Exception:  # noqa: BLE001 - whatever it is, it is the evaluation's to raise
            return node
        return Literal(value, where=node.where, order=node.order) if type(value) in ATOMS else node
    return node


def _plain(value: Any) -> Any:
    """The atom that ``value`` is or holds."""
    if isinstance(value, Literal):
        value = value.value
    return value if type(value) in ATOMS else _MISSING
