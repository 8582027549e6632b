"""Rewrites: pure functions from a draft to a draft that means the same and costs less."""

from __future__ import annotations

from collections.abc import Callable

from django_rpc.graph.rewrites.draft import Draft
from django_rpc.graph.rewrites.merge import merge_reads

__all__ = ["REWRITES", "Draft", "merge_reads"]

#: All of them, in the order in which they run.  (What no output needs is left out before, by ``collect``.)
REWRITES: tuple[Callable[[Draft], Draft], ...] = (merge_reads,)
