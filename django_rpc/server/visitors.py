"""The evaluator of each node kind at the service.

A function with ``@visits(kind)`` computes the value of a node of that kind. ``server.evaluate.evaluation`` imports all
evaluators, and fails if a kind of the wire has none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django_rpc.graph.nodes import KINDS, Node

__all__ = ["BATCH_VISITORS", "VISITORS", "check_complete", "visits", "visits_batch"]

_Visitor = TypeVar("_Visitor", bound=Callable[..., Any])

#: Computes the value of a node: ``visit(evaluator, node)``.
VISITORS: dict[type[Node], Callable[[Any, Any], Any]] = {}
#: Computes the values of a node for many rows at once: ``visit(engine, node, environment, rows)``.
BATCH_VISITORS: dict[type[Node], Callable[[Any, Any, Any, list[int]], list[Any]]] = {}


def visits(*kinds: type[Node]) -> Callable[[_Visitor], _Visitor]:
    """Register the decorated function as the evaluator of ``kinds``."""

    def register(visit: _Visitor) -> _Visitor:
        VISITORS.update(dict.fromkeys(kinds, visit))
        return visit

    return register


def visits_batch(kind: type[Node]) -> Callable[[_Visitor], _Visitor]:
    """Register the decorated function as the evaluator of ``kind`` for many rows at once."""

    def register(visit: _Visitor) -> _Visitor:
        BATCH_VISITORS[kind] = visit
        return visit

    return register


def check_complete() -> None:
    """Raise ImportError if a kind of the wire has no evaluator."""
    missing = sorted(kind.__name__ for kind in KINDS.values() if kind not in VISITORS)
    if missing:
        raise ImportError(f"The node kinds {', '.join(missing)} have no evaluator: decorate a function with @visits.")
