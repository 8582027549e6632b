"""dask's protocol for collections: a Delayed is a graph with one task, which our planner computes.

Several Delayed in one ``dask.compute`` share a plan, so they need the fewest messages. Inside another dask graph, a
Delayed is an ordinary task. This module imports dask only when dask itself calls it.
"""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from django_rpc.graph.delayed.method_names import may_be_field
from django_rpc.graph.identity import key_text
from django_rpc.graph.nodes.collections import depends

if TYPE_CHECKING:
    from django_rpc.graph.delayed.delayed import Delayed
    from django_rpc.graph.nodes import Node

__all__ = ["DaskCollection"]


class Computation:
    """The task of a Delayed; a call computes the Delayed."""

    __slots__ = ("delayed",)

    def __init__(self, delayed: Any) -> None:
        self.delayed = delayed

    def __call__(self) -> Any:
        return self.delayed.compute()


class Together:
    """The task of several Delayed; a call computes them in one plan."""

    __slots__ = ("delayeds",)

    def __init__(self, delayeds: tuple[Delayed, ...]) -> None:
        self.delayeds = delayeds

    def __call__(self) -> Any:
        from django_rpc.graph.delayed.delayed import compute

        return compute(*self.delayeds)


def single(values: Any) -> Any:
    """Return the value of our only key: the result of ``dask.compute``."""
    return values[0]


def rebuild(computed: Mapping[str, Any], key: str, *, rename: Mapping[str, str] | None = None) -> Delayed:
    """Build the Delayed that ``dask.persist`` and ``dask.optimize`` return, from the graph that they computed."""
    from django_rpc.graph.delayed.delayed import delayed

    value = computed[key]
    task = _computation(value)
    if task is not None:
        same: Delayed = task.delayed
        return same
    renamed = rename.get(key, key) if rename else key
    again: Delayed = delayed(value, name=renamed, traverse=False)
    return again


def optimize(tasks: Any, keys: Any, **options: Any) -> dict[str, Any]:
    """Rewrite the graph: one task computes all Delayed in one plan, and one task for each Delayed takes its value."""
    graph = dict(tasks)
    delayeds = {key: work.delayed for key, task in graph.items() if (work := _computation(task)) is not None}
    if len(delayeds) > 1:
        together = "together-" + "-".join(sorted(map(str, delayeds)))
        graph[together] = (Together(tuple(delayeds.values())),)
        graph |= {key: (operator.getitem, together, place) for place, key in enumerate(delayeds)}
    return graph


def _computation(task: Any) -> Computation | None:
    function = task[0] if isinstance(task, tuple) and len(task) == 1 else getattr(task, "func", None)
    return function if isinstance(function, Computation) else None


class DaskCollection:
    """The methods that make a Delayed a dask collection."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __rpc_node__(self) -> Node: ...

        def compute(self, timeout: float | None = None, priority: bool = False) -> Any: ...

    def __dask_graph__(self) -> dict[str, tuple[Computation]]:
        """Return the graph in dask's form: one task, which computes this Delayed."""
        return {self.__dask_tokenize__(): (Computation(self),)}

    @may_be_field
    def persist(self, timeout: float | None = None, priority: bool = False) -> Delayed:
        """Compute the value now, and return a Delayed that holds it. Raises the errors of ``compute()``."""
        key = self.__dask_tokenize__()
        return rebuild({key: self.compute(timeout=timeout, priority=priority)}, key)

    @property
    def dask(self) -> Any:
        """The result of `__dask_graph__`, under the name that dask reads. In a lambda of `map`, the field ``dask``."""
        if depends(self.__rpc_node__()):
            return importlib.import_module("django_rpc.graph.delayed.delayed").attribute(self, "dask")
        return self.__dask_graph__()

    def __dask_keys__(self) -> list[str]:
        return [self.__dask_tokenize__()]

    def __dask_layers__(self) -> tuple[str, ...]:
        return (self.__dask_tokenize__(),)

    def __dask_tokenize__(self) -> str:
        """Return the key: a name for the value, equal in every process for equal expressions (`content.key_text`)."""
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
        """The scheduler of ``dask.delayed``, so that dask computes both kinds of collections together."""
        return importlib.import_module("dask.delayed").DEFAULT_GET
