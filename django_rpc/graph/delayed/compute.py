"""``compute`` of many values: find the values in their containers, compute them in one plan, and put results back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django_rpc.graph.delayed.delayed import Delayed
from django_rpc.graph.delayed.local_arguments import ForeignCollection, computed_by_dask, is_sent, members_of, rebuilt
from django_rpc.graph.delayed.runner import Output, engine
from django_rpc.graph.nodes import Node
from django_rpc.graph.values import ATOMS
from django_rpc.graph.walk import DATA, map_children

__all__ = ["compute", "gathered", "handle", "outputs_of"]


def handle(value: Any) -> Delayed | None:
    """Return the Delayed of an object that has a node; None for a plain value.

    An object with ``__rpc_node__`` and a method ``delayed()`` (a queryset) makes the Delayed itself, because it knows
    its ``finish`` function.
    """
    if isinstance(value, Delayed):
        return value
    if isinstance(value, Node):
        return Delayed(value)
    kind = type(value)
    if kind in ATOMS:
        return None
    if issubclass(kind, ForeignCollection):
        return Delayed(computed_by_dask(value))
    if not hasattr(kind, "__rpc_node__"):
        return None
    if callable(getattr(kind, "delayed", None)):
        made: Delayed = value.delayed()
        return made
    return Delayed(value.__rpc_node__(), getattr(value, "finish", None))


def compute(args: Sequence[Any], traverse: bool, options: Mapping[str, Any]) -> tuple[Any, ...]:
    """Compute ``args`` with one plan and return them in their shapes.

    Raises NoRunner for a service without a runner.
    """
    delayeds, put_back = gathered(args, traverse)
    values = engine().compute(outputs_of(delayeds), **options) if delayeds else []
    return put_back(values, options.get("timeout"))


def gathered(args: Sequence[Any], traverse: bool = True) -> tuple[list[Delayed], PutBack]:
    """Return the Delayed inside ``args``, and the `PutBack` that replaces them by their values."""
    walk = _walk if traverse else _look
    delayeds: list[Delayed] = []
    futures: list[Any] = []

    def note(value: Any) -> Any:
        if is_sent(value):
            futures.append(value)
            return value
        delayed = handle(value)
        if delayed is not None:
            delayeds.append(delayed)
        return delayed

    for arg in args:
        walk(arg, note)
    return delayeds, PutBack(args, walk, futures)


class PutBack:
    """Builds a copy of ``args`` with values in place of the Delayed; ``futures`` are the futures in ``args``."""

    def __init__(self, args: Sequence[Any], walk: Callable[..., Any], futures: list[Any]) -> None:
        self._args = args
        self._walk = walk
        self.futures = futures

    def __call__(self, values: Sequence[Any], timeout: float | None) -> tuple[Any, ...]:
        """Return the args with their values; wait up to ``timeout`` seconds for each future."""
        following = iter(values)

        def put_back(value: Any) -> Any:
            if is_sent(value):
                return _Value(value.result(timeout))
            return None if handle(value) is None else _Value(next(following))  # both walks have one order

        return tuple([self._walk(arg, put_back) for arg in self._args])


def outputs_of(delayeds: Iterable[Delayed]) -> list[Output]:
    """Return the outputs of several Delayed, in the form that `Engine` takes."""
    return [delayed.__rpc_output__() for delayed in delayeds]


class _Value:
    """Wrapper of a computed value, to distinguish it from the None that means "continue into containers"."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def _walk(value: Any, visit: Callable[[Any], Any]) -> Any:
    """Copy ``value``, with the results of ``visit`` in it; ``visit`` returns None to continue into a container."""
    kind = type(value)
    if kind in ATOMS:
        return value
    seen = visit(value)
    if seen is not None:
        return seen.value if type(seen) is _Value else value
    if (kind in DATA and kind is not slice) or (isinstance(value, tuple) and hasattr(kind, "_fields")):
        return map_children(value, lambda item: _walk(item, visit))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value) if field.init]
        new = {name: _walk(getattr(value, name), visit) for name in fields}
        same = all(new[name] is getattr(value, name) for name in fields)
        return value if same else dataclasses.replace(value, **new)
    members = members_of(value)
    return value if members is None else _walk_subclass(value, members, visit)


def _walk_subclass(value: Any, members: Any, visit: Callable[[Any], Any]) -> Any:
    """Copy an instance of a subclass of a container if it holds a visited value; otherwise return it unchanged."""
    visited = False

    def watch(item: Any) -> Any:
        nonlocal visited
        seen = visit(item)
        visited = visited or seen is not None
        return seen

    new = _walk(members, watch)
    return rebuilt(value, new) if visited else value


def _look(value: Any, visit: Callable[[Any], Any]) -> Any:
    """Apply ``visit`` like `_walk`, without a look into containers."""
    seen = None if type(value) in ATOMS else visit(value)
    return seen.value if type(seen) is _Value else value
