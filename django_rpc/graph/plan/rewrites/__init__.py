"""Rewrites: pure functions from a draft to a draft that means the same and costs less."""

from __future__ import annotations

from collections.abc import Callable

from django_rpc.graph.plan.rewrites.cull import cull
from django_rpc.graph.plan.rewrites.draft import Draft
from django_rpc.graph.plan.rewrites.fold import fold_literals
from django_rpc.graph.plan.rewrites.merge import merge_reads
from django_rpc.graph.plan.rewrites.nest import nest_queries

__all__ = ["REWRITES", "Draft", "cull", "fold_literals", "merge_reads", "nest_queries"]

#: All of them, in the order in which they run.
REWRITES: tuple[Callable[[Draft], Draft], ...] = (nest_queries, fold_literals, merge_reads, cull)
