"""Rewrites: pure functions from a graph to an equal graph with less work."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django_rpc.graph.identity import key
from django_rpc.graph.nodes import IfElse, Map, Node, Operator
from django_rpc.graph.plan.expression_graph import ExpressionGraph
from django_rpc.graph.plan.rewrites.cull import cull
from django_rpc.graph.plan.rewrites.fold import fold_literals
from django_rpc.graph.plan.rewrites.merge import merge_reads
from django_rpc.graph.plan.rewrites.nest import nest_queries

__all__ = ["REWRITES", "cull", "fold_literals", "merge_reads", "nest_queries", "rewrite"]

Rule = Callable[[ExpressionGraph], ExpressionGraph]

#: All rules, in the order in which they run. A rule returns the same object if it changes nothing.
REWRITES: tuple[Rule, ...] = (nest_queries, fold_literals, merge_reads, cull)

#: The kinds that a rule changes. A graph without them is not searched.
_KINDS: dict[Rule, frozenset[type[Node]]] = {
    nest_queries: frozenset({Map}),
    fold_literals: frozenset({Operator, IfElse}),
}

#: Rules are repeated this often. No known graph needs more than three repetitions.
_MAX_PASSES = 100


def rewrite(graph: ExpressionGraph, rules: Sequence[Rule] | None = None) -> ExpressionGraph:
    """Apply the rules, by default `REWRITES`, until none of them changes the graph.

    A rule is idempotent, so a rule runs again only after another rule has changed the graph. Raises RuntimeError with
    the names of the rules if they return to an earlier graph, or do not end.
    """
    rules = REWRITES if rules is None else rules
    last_changed: Rule | None = None
    earlier: set[tuple[bytes, ...]] = set()
    for number in range(_MAX_PASSES):
        changed: list[Rule] = []
        for rule in rules:
            if rule is last_changed:
                return graph
            if rule in _KINDS and _KINDS[rule].isdisjoint(map(type, graph.nodes)):
                continue
            rewritten = rule(graph)
            if rewritten is not graph:
                graph, last_changed = rewritten, rule
                changed.append(rule)
        if not changed:
            return graph
        if number:  # most graphs need one pass, and keys take time
            content = tuple([key(node) for node in graph.nodes])
            if content in earlier:
                raise RuntimeError(f"The rewrites {_names(changed)} return to an earlier graph, so they do not end.")
            earlier.add(content)
    raise RuntimeError(f"The rewrites {_names(changed)} do not end: they changed the graph {_MAX_PASSES} times.")


def _names(rules: Sequence[Rule]) -> str:
    return ", ".join(rule.__name__ for rule in rules)
