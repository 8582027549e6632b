"""``d.profile``: called, it profiles; not called, it is the attribute of that name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django_rpc.graph.delayed import Delayed, Output
from django_rpc.graph.node import Node
from django_rpc.graph.runner import members, profiler

__all__ = ["Profiling"]


class Profiling(Delayed):
    """The attribute ``profile`` of a Delayed; called, it profiles that.

    >>> from django_rpc.graph.delayed import delayed
    >>> delayed([1, 2]).profile().result
    [1, 2]
    """

    __slots__ = ("_profiled",)

    def __init__(self, node: Node, profiled: Delayed) -> None:
        super().__init__(node, profiled.runner)
        object.__setattr__(self, "_profiled", profiled)

    def __call__(self, timeout: float | None = None, priority: bool = False) -> Any:
        """The `Profile`; raises what `compute` raises."""
        one = self._profiled
        outputs = [Output(one.node, one.finish)]
        return profiler().profile(outputs, members(one.runner), timeout=timeout, priority=priority)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Profiling, (self.node, self._profiled)
