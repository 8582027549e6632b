"""``compute`` of many things at once: what is to be computed is found in their containers, sent, and put back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django_rpc.graph.dag import services, topological
from django_rpc.graph.delayed import Delayed
from django_rpc.graph.node import Node
from django_rpc.graph.runner import Output, runner_for, several_services
from django_rpc.graph.values import ATOMS

__all__ = ["compute", "handle"]


def handle(value: Any) -> Delayed | None:
    """The Delayed of something that stands on a node; None for a plain value.

    What has a method ``delayed()`` beside ``__rpc_node__`` (a queryset) is asked for it, since it knows the runner
    and what to make of the answer; otherwise the runner is that of the service which the nodes name.
    """
    if type(value) is Delayed:
        return value
    if isinstance(value, Node):
        return Delayed(value)
    kind = type(value)
    if kind in ATOMS or not hasattr(kind, "__rpc_node__"):
        return None
    if callable(getattr(kind, "delayed", None)):
        made: Delayed = value.delayed()
        return made
    return Delayed(value.__rpc_node__(), None, getattr(value, "finish", None))


def compute(args: Sequence[Any], options: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of ``args`` in their shapes, by one message a service.

    Raises NotSupported where one value needs several services, NoRunner where nobody knows a service.
    """
    found: list[Delayed] = []

    def note(value: Any) -> Any:
        if _is_sent(value):
            return value
        one = handle(value)
        if one is not None:
            found.append(one)
        return one

    for arg in args:
        _walk(arg, note)
    values = iter(_run(found, options))

    def put_back(value: Any) -> Any:
        if _is_sent(value):
            return _Value(value.result(options.get("timeout")))
        return None if handle(value) is None else _Value(next(values))  # both walks meet the values in one order

    return tuple([_walk(arg, put_back) for arg in args])


def _is_sent(value: Any) -> bool:
    """Whether ``value`` is a future: its graph is under way already, and a write in it must not run twice."""
    return callable(getattr(type(value), "result", None)) and callable(getattr(type(value), "done", None))


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


def _run(found: Sequence[Delayed], options: Mapping[str, Any]) -> list[Any]:
    """The values of the Delayed in their order: one message for those of one service."""
    known = services(topological(found))
    groups: dict[str | None, list[int]] = {}
    for place, one in enumerate(found):
        names = sorted(known[one.node])
        if len(names) > 1:
            raise several_services(one.node, names)
        groups.setdefault(names[0] if names else None, []).append(place)
    if None in groups and len(groups) > 1:  # plain data goes along with whatever is sent
        plain = groups.pop(None)
        next(iter(groups.values())).extend(plain)
    values: dict[int, Any] = {}
    for service, members in groups.items():
        given = [found[place].runner for place in members]
        runner = next((one for one in given if one is not None and getattr(one, "service", service) == service), None)
        runner = runner or runner_for(found[members[0]].node, None)
        outputs = [Output(found[place].node, found[place].finish) for place in members]
        values.update(zip(members, runner.compute(outputs, **options), strict=True))
    return [values[place] for place in range(len(found))]
