"""dask's protocol for collections: a Delayed is a graph of one task, which our own planner computes.

Several Delayed in one ``dask.compute`` are planned together, so they go in the fewest messages; inside a graph of
dask's, a Delayed is a task like any other.  Nothing here imports dask, unless dask is there already and asks.
"""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from django_rpc.graph.content import key_text
from django_rpc.graph.elements import depends
from django_rpc.graph.names import may_be_field

if TYPE_CHECKING:
    from django_rpc.graph.delayed import Delayed
    from django_rpc.graph.node import Node

__all__ = ["DaskCollection"]


class Computation:
    """The task of a Delayed: called, it computes it."""

    __slots__ = ("delayed",)

    def __init__(self, delayed: Any) -> None:
        self.delayed = delayed

    def __call__(self) -> Any:
        return self.delayed.compute()


class Together:
    """The task of several Delayed: called, it computes them in one plan."""

    __slots__ = ("delayeds",)

    def __init__(self, delayeds: tuple[Delayed, ...]) -> None:
        self.delayeds = delayeds

    def __call__(self) -> Any:
        from django_rpc.graph.delayed import compute

        return compute(*self.delayeds)


def single(values: Any) -> Any:
    """What ``dask.compute`` returns for the values of our one key."""
    return values[0]


def rebuild(computed: Mapping[str, Any], key: str, *, rename: Mapping[str, str] | None = None) -> Delayed:
    """The Delayed that ``dask.persist`` and ``dask.optimize`` give back, from the graph that they made of it."""
    from django_rpc.graph.delayed import delayed

    found = computed[key]
    task = _computation(found)
    if task is not None:
        same: Delayed = task.delayed
        return same
    renamed = rename.get(key, key) if rename else key
    again: Delayed = delayed(found, name=renamed, traverse=False)
    return again


def optimize(tasks: Any, keys: Any, **options: Any) -> dict[str, Any]:
    """The graph with one task that computes all of our Delayed in it, in one plan, and one that takes each value."""
    graph = dict(tasks)
    found = {key: work.delayed for key, task in graph.items() if (work := _computation(task)) is not None}
    if len(found) > 1:
        together = "together-" + "-".join(sorted(map(str, found)))
        graph[together] = (Together(tuple(found.values())),)
        graph |= {key: (operator.getitem, together, place) for place, key in enumerate(found)}
    return graph


def _computation(task: Any) -> Computation | None:
    function = task[0] if isinstance(task, tuple) and len(task) == 1 else getattr(task, "func", None)
    return function if isinstance(function, Computation) else None


class DaskCollection:
    """What makes a Delayed a collection of dask's."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __rpc_node__(self) -> Node: ...

        def compute(self, timeout: float | None = None, priority: bool = False) -> Any: ...

    def __dask_graph__(self) -> dict[str, tuple[Computation]]:
        """The graph as dask takes it: one task, which computes this."""
        return {self.__dask_tokenize__(): (Computation(self),)}

    @may_be_field
    def persist(self, timeout: float | None = None, priority: bool = False) -> Delayed:
        """Compute the value now, and return a Delayed that holds it; raises what ``compute()`` raises."""
        key = self.__dask_tokenize__()
        return rebuild({key: self.compute(timeout=timeout, priority=priority)}, key)

    @property
    def dask(self) -> Any:
        """`__dask_graph__`, by the name under which dask itself reads it; in a lambda of `map`, the field ``dask``."""
        if depends(self.__rpc_node__()):
            return importlib.import_module("django_rpc.graph.delayed").attribute(self, "dask")
        return self.__dask_graph__()

    def __dask_keys__(self) -> list[str]:
        return [self.__dask_tokenize__()]

    def __dask_layers__(self) -> tuple[str, ...]:
        return (self.__dask_tokenize__(),)

    def __dask_tokenize__(self) -> str:
        """The key: a name of the value, the same in every process for equal expressions (`content.key_text`)."""
        return key_text(self.__rpc_node__())

    def __dask_postcompute__(self) -> tuple[Callable[..., Any], tuple[()]]:
        return single, ()

    def __dask_postpersist__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return rebuild, (self.__dask_tokenize__(),)

    @staticmethod
    def __dask_optimize__(graph: Any, keys: Any, **options: Any) -> dict[str, Any]:
        return optimize(graph, keys, **options)

    @property
    def __dask_scheduler__(self) -> Any:
        """That of ``dask.delayed``, so that both can be computed together."""
        return importlib.import_module("dask.delayed").DEFAULT_GET
