"""How large a request is when it is written out: a message names a part once, SQL and an answer hold it each time.

Thirty nodes that each name the one before twice are a thousand million parts. So what is nested is counted, in time
that grows with the message alone, before it is evaluated (`check_nesting`) and where values are put together (`Sizes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django_rpc.errors import ResponseTooLarge, TooManyNodes
from django_rpc.graph.nodes import Literal, Node, Operator
from django_rpc.graph.values import Condition, Expr
from django_rpc.server.core.limits import Allowance, exceeded
from django_rpc.server.lowering.query_template import makes_query
from django_rpc.wire.limits import too_deep

__all__ = ["Sizes", "check_nesting"]

_CONTAINERS = (list, tuple, dict, set, frozenset)


def check_nesting(nodes: Sequence[Node], limits: Allowance) -> None:
    """Raise TooManyNodes for queries that hold too many others, or that are nested in each other too often.

    ``nodes`` are in topological order.
    """
    parts: dict[Node, int] = {}
    total = 0
    for position, node in enumerate(nodes):
        nested = sum([parts[source] for source in node.inputs()])
        step = makes_query(node)
        if step and nested > limits.subqueries:
            raise TooManyNodes(
                f"Written out, the query holds more than {limits.subqueries:,} others (limit 'subqueries'). Ask for "
                "some of them first, and filter by their values.",
                node=position,
            )
        total += nested
        if total > limits.steps:
            raise TooManyNodes(
                f"Written out, the queries of the request have more than {limits.steps:,} parts (limit 'steps'). Send "
                "it in parts.",
                node=position,
            )
        if step:
            parts[node] = nested + node.is_source
        elif isinstance(node, Literal | Operator):  # what these hold is nested in them
            parts[node] = nested + (isinstance(node, Literal) and _has_expression(node.value))
        else:  # any other value exists once, independent of its inputs
            parts[node] = 0


def _has_expression(value: Any) -> bool:
    if isinstance(value, _CONTAINERS):
        return any(map(_has_expression, _items(value)))
    return isinstance(value, Expr | Condition)


class Sizes:
    """The sizes of the values that one request makes: characters, and items at any depth."""

    __slots__ = ("_known", "_limits", "made")

    def __init__(self, limits: Allowance) -> None:
        self._limits = limits
        #: By id, with the container itself: so its id is its own for as long as this lives.
        self._known: dict[int, tuple[Any, int, int]] = {}
        self.made = 0

    def count(self, number: int) -> None:
        """Note so many characters or items that a step makes; raises ResponseTooLarge."""
        self.made += number
        if self.made > self._limits.response_bytes:
            raise exceeded(
                ResponseTooLarge,
                self._limits.response_bytes,
                "The values that the request makes are larger than an answer may be.",
            )

    def check(self, value: Any) -> Any:
        """``value``; raises ResponseTooLarge or MessageTooDeep for a container that holds too much."""
        if isinstance(value, _CONTAINERS):
            size, depth = self._measure(value)
            if size > self._limits.response_bytes:
                raise exceeded(
                    ResponseTooLarge,
                    self._limits.response_bytes,
                    "Written out, a value of the request is larger than an answer may be.",
                )
            if depth > self._limits.depth:
                raise too_deep(self._limits)
        return value

    def _measure(self, value: Any) -> tuple[int, int]:
        known = self._known.get(id(value))
        if known is not None:
            return known[1], known[2]
        size, depth = len(value), 0
        for item in _items(value):
            if isinstance(item, str | bytes):
                size += len(item)
            elif isinstance(item, _CONTAINERS):
                inner, below = self._measure(item)
                size, depth = size + inner, max(depth, below)
        self._known[id(value)] = value, size, depth + 1
        return size, depth + 1


def _items(value: Any) -> Any:
    return (*value.keys(), *value.values()) if isinstance(value, dict) else value
