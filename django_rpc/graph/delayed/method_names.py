"""Methods of a `Delayed`: query methods, and methods with names that a user's field may have too."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar, cast

from django_rpc.graph.delayed.suggestions import COMPLEX_FILTER
from django_rpc.graph.format import describe
from django_rpc.graph.nodes import Node

__all__ = ["QueryMethod", "as_step", "may_be_field"]

_F = TypeVar("_F", bound=Callable[..., Any])


def may_be_field(function: _F) -> _F:
    """Decorate a method of `Delayed`: a user's field may have the same name.

    A call is a call of the method. Without a call, it is the attribute with that name: ``order.plan.price``. A query
    has no attributes, so there it is always the method.
    """
    method: Any = _FieldOrMethod(function)
    return cast(_F, method)


class _FieldOrMethod:
    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        functools.update_wrapper(cast(Any, self), function)

    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return self._function
        method = types.MethodType(self._function, instance)
        return method if instance._node.is_query else instance._as_attribute(method)


def as_step(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Return a method and its arguments in their recorded form: ``complex_filter(dict or Q)`` becomes ``filter()``."""
    if name != COMPLEX_FILTER:
        return name, args, kwargs
    condition = _filter_obj(*args, **kwargs)
    return ("filter", (), condition) if isinstance(condition, dict) else ("filter", (condition,), {})


def _filter_obj(filter_obj: Any) -> Any:
    return filter_obj


class QueryMethod:
    """A method of a query before its call: ``d.filter``. ``call`` takes its arguments."""

    __slots__ = ("_call", "_name", "_node")

    def __init__(self, node: Node, name: str, call: Callable[[tuple[Any, ...], dict[str, Any]], Any]) -> None:
        self._node = node
        self._name = name
        self._call = call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(args, kwargs)

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f".{self._name} is a method of the query: write .{self._name}(...) first.")

    def __bool__(self) -> NoReturn:
        raise TypeError(f".{self._name} is a method of the query: write .{self._name}(...).")

    def __repr__(self) -> str:
        return f"<method {describe(self._node)}.{self._name}>"
