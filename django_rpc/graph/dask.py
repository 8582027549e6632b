"""dask's side of a Delayed: a graph of one task, which our own planner computes.

Several Delayed in one ``dask.compute`` are planned together, so they go in the fewest messages; inside a graph of
dask's, a Delayed is a task like any other.  Nothing here imports dask, unless dask is there already and asks.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_rpc.graph.delayed import Delayed

__all__ = ["get", "graph", "rebuild", "single"]


class Computation:
    """The task of a Delayed: called, it computes it."""

    __slots__ = ("delayed",)

    def __init__(self, delayed: Delayed) -> None:
        self.delayed = delayed

    def __call__(self) -> Any:
        return self.delayed.compute()


class Known:
    """The task of a value that is there."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self) -> Any:
        return self.value


def graph(delayed: Delayed) -> dict[str, tuple[Callable[[], Any]]]:
    """The dask graph of a Delayed."""
    return {delayed.key: (Computation(delayed),)}


def single(values: Any) -> Any:
    """What ``dask.compute`` returns for the values of our one key."""
    return values[0]


def rebuild(computed: Mapping[str, Any], key: str, *, rename: Mapping[str, str] | None = None) -> Delayed:
    """The Delayed that ``dask.persist`` and ``dask.optimize`` give back, from the graph that they made of it."""
    from django_rpc.graph.delayed import delayed

    found = computed[key]
    task = getattr(found, "func", found)
    if isinstance(task, Computation):
        return task.delayed
    renamed = rename.get(key, key) if rename else key
    again: Delayed = delayed(found, name=renamed, traverse=False)
    return again


def get(tasks: Any, keys: Any, **options: Any) -> Any:
    """A scheduler of dask's: computes all of our Delayed in one plan, and has dask do the rest."""
    from django_rpc.graph.delayed import compute

    threaded = importlib.import_module("dask.threaded")
    tasks = dict(tasks.__dask_graph__() if hasattr(tasks, "__dask_graph__") else tasks)
    found = {key: function.delayed for key, task in tasks.items() if (function := _computation(task)) is not None}
    values = compute(*found.values())
    spec = importlib.import_module("dask._task_spec")
    known = {key: spec.DataNode(key, value) for key, value in zip(found, values, strict=True)}
    return threaded.get({**tasks, **known}, keys, **options)


def _computation(task: Any) -> Computation | None:
    function = task[0] if isinstance(task, tuple) and len(task) == 1 else getattr(task, "func", None)
    return function if isinstance(function, Computation) else None
