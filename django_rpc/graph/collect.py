"""``compute`` of many things at once: what is to be computed is found in their containers, sent, and put back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django_rpc.graph.capture import ForeignCollection, computed_by_dask, is_sent
from django_rpc.graph.delayed import Delayed
from django_rpc.graph.node import Node
from django_rpc.graph.runner import Output, Runner, engine
from django_rpc.graph.values import ATOMS

__all__ = ["compute", "gathered", "handle", "outputs_of"]


def handle(value: Any) -> Delayed | None:
    """The Delayed of something that stands on a node; None for a plain value.

    What has a method ``delayed()`` beside ``__rpc_node__`` (a queryset) is asked for it, since it knows the runner
    and what to make of the answer; otherwise the runner is that of the service which the nodes name.
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
    return Delayed(value.__rpc_node__(), None, getattr(value, "finish", None))


def compute(args: Sequence[Any], traverse: bool, options: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of ``args`` in their shapes, by the messages of one plan.

    Raises NoRunner where nobody knows a service.
    """
    found, put_back = gathered(args, traverse)
    return put_back(_asked(found, options) if found else [], options.get("timeout"))


def gathered(args: Sequence[Any], traverse: bool = True) -> tuple[list[Delayed], PutBack]:
    """What is to be computed in ``args``, and what puts its values back in their shapes."""
    walk = _walk if traverse else _look
    found: list[Delayed] = []
    futures: list[Any] = []

    def note(value: Any) -> Any:
        if is_sent(value):
            futures.append(value)
            return value
        one = handle(value)
        if one is not None:
            found.append(one)
        return one

    for arg in args:
        walk(arg, note)
    return found, PutBack(args, walk, futures)


class PutBack:
    """Makes ``args`` again with values in the places of what was computed; ``futures`` are those among them."""

    def __init__(self, args: Sequence[Any], walk: Callable[..., Any], futures: list[Any]) -> None:
        self._args = args
        self._walk = walk
        self.futures = futures

    def __call__(self, values: Sequence[Any], timeout: float | None) -> tuple[Any, ...]:
        """The args; futures are waited for, for ``timeout`` seconds each."""
        following = iter(values)

        def put_back(value: Any) -> Any:
            if is_sent(value):
                return _Value(value.result(timeout))
            return None if handle(value) is None else _Value(next(following))  # both walks meet them in one order

        return tuple([self._walk(arg, put_back) for arg in self._args])


def _asked(found: Sequence[Delayed], options: Mapping[str, Any]) -> list[Any]:
    """The values of the Delayed in their order."""
    return engine().compute(*outputs_of(found), **options)


def outputs_of(found: Iterable[Delayed]) -> tuple[list[Output], list[Runner]]:
    """The outputs and the runners of several Delayed, as an `Engine` takes them."""
    runners = [runner for delayed in found for runner in delayed.__rpc_runners__()]
    return [delayed.__rpc_output__() for delayed in found], runners


class _Value:
    """A computed value, told from the None that says "walk on"."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def _walk(value: Any, visit: Callable[[Any], Any]) -> Any:
    """``value`` with what ``visit`` made of the things in its containers; ``visit`` gives None to walk on."""
    kind = type(value)
    if kind in ATOMS:
        return value
    seen = visit(value)
    if seen is not None:
        return seen.value if type(seen) is _Value else value
    if kind in (list, set, frozenset):
        return kind([_walk(item, visit) for item in value])
    if isinstance(value, tuple):
        items = [_walk(item, visit) for item in value]
        return kind(*items) if hasattr(kind, "_fields") else tuple(items) if kind is tuple else value
    if kind is dict:
        return {_walk(key, visit): _walk(item, visit) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value) if field.init]
        new = {name: _walk(getattr(value, name), visit) for name in fields}
        same = all(new[name] is getattr(value, name) for name in fields)
        return value if same else dataclasses.replace(value, **new)
    return value


def _look(value: Any, visit: Callable[[Any], Any]) -> Any:
    """As `_walk`, without looking into containers."""
    seen = None if type(value) in ATOMS else visit(value)
    return seen.value if type(seen) is _Value else value
