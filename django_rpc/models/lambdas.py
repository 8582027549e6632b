"""Querysets of mirrors in the lambdas of ``map`` and ``filter_by``.

The value of a query that uses the element of a lambda is not known in the client. A method that returns a value records
a node for such a query, instead of a message.

>>> Customer.objects.map(lambda row: Order.objects.filter(customer=row).count())
<Delayed Customer.objects.map(lambda row: Order.objects.filter(customer=row).count())>
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django_rpc.graph.delayed import lambdas as recording
from django_rpc.graph.delayed.delayed import Delayed
from django_rpc.graph.format import describe
from django_rpc.graph.nodes import Item, Method, callsite
from django_rpc.graph.values import freeze
from django_rpc.models.expressions import materialize_iterators

__all__ = ["recorded_in_lambdas"]

#: The methods of a queryset that return a value, or write.
_TERMINALS = (
    "get first last earliest latest in_bulk count exists contains aggregate explain "
    "create get_or_create update_or_create update delete getset"
).split()


def recorded_in_lambdas(cls: Any) -> Any:
    """Decorate `RpcQuerySet`: add `map` and `filter_by`, and record the methods that a lambda calls."""
    for name in _TERMINALS:
        setattr(cls, name, _recorded(name, getattr(cls, name)))
    cls.__getitem__ = _item(cls.__getitem__)
    cls._fetch_all = _fetch_all(cls._fetch_all)
    cls.map, cls.filter_by = _map, _filter_by
    return cls


def _recorded(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def inner(self: Any, *args: Any, **kwargs: Any) -> Any:
        if recording.is_open():
            node = Method(
                self.query.recorded(self.db),
                name,
                freeze(materialize_iterators(args)),
                freeze(materialize_iterators(kwargs)),
                where=callsite(),
            )
            if recording.is_recorded(node):
                return Delayed(node)
        return method(self, *args, **kwargs)

    return inner


def _item(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def inner(self: Any, key: Any) -> Any:
        if recording.is_open() and not isinstance(key, slice) and recording.is_recorded(self.query.node):
            return Delayed(Item(self.query.recorded(self.db), freeze(key), where=callsite()))
        return method(self, key)

    return inner


def _fetch_all(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def inner(self: Any) -> Any:
        if recording.is_open() and recording.is_recorded(self.query.node):
            raise TypeError(
                f"{describe(self.query.node, 80)} is evaluated only at the service, with the lambda: it cannot be "
                "iterated over, counted by len() or tested in the client. Return it, or use .map(lambda row: ...) for "
                "its rows, .count(), .exists(), and django_rpc.cond(test, then, otherwise) instead of if."
            )
        return method(self)

    return inner


def _map(self: Any, function: Callable[[Any], Any], return_exceptions: bool = False) -> Delayed:
    """Return a Delayed list with the value of ``function`` for each row, computed at the service; see `Delayed.map`.

    >>> Customer.objects.filter(pk__lte=2).order_by("pk").map(lambda customer: customer.orders.count()).compute()
    [...]
    """
    return recording.map_over(Delayed(self.__rpc_node__()), function, return_exceptions)


def _filter_by(self: Any, function: Callable[[Any], Any]) -> Delayed:
    """Return a Delayed list of the rows that make ``function`` true; see `Delayed.filter_by`."""
    return recording.where(Delayed(self.__rpc_node__()), function)


_map.__name__, _filter_by.__name__ = "map", "filter_by"
