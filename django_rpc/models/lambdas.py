"""Querysets of mirrors in the lambdas of ``map`` and ``filter_by``.

There a value of a query is not known: what would be sent at once, is written down instead, wherever the placeholder of
the lambda stands among the query's steps or arguments.

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

#: The methods of a queryset that ask for a value, or write.
_ASKING = (
    "get first last earliest latest in_bulk count exists contains aggregate explain "
    "create get_or_create update_or_create update delete getset"
).split()


def recorded_in_lambdas(cls: Any) -> Any:
    """Decorates `RpcQuerySet`: adds `map` and `filter_by`, and writes down what a lambda asks of a query."""
    for name in _ASKING:
        setattr(cls, name, _written_down(name, getattr(cls, name)))
    cls.__getitem__ = _item(cls.__getitem__)
    cls._fetch_all = _fetch_all(cls._fetch_all)
    cls.map, cls.filter_by = _map, _filter_by
    return cls


def _written_down(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
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
                f"{describe(self.query.node, 80)} is read at the service only, where the lambda will be done: it "
                "cannot be iterated over, counted by len() or tested here. Return it, or write .map(lambda row: ...) "
                "for its rows, .count(), .exists(), and django_rpc.cond(test, then, otherwise) in place of if."
            )
        return method(self)

    return inner


def _map(self: Any, function: Callable[[Any], Any], return_exceptions: bool = False) -> Delayed:
    """A list of what ``function`` makes of each row, next to the data; see `Delayed.map`.

    >>> Customer.objects.filter(pk__lte=2).order_by("pk").map(lambda customer: customer.orders.count()).compute()
    [...]
    """
    return recording.map_over(Delayed(self.__rpc_node__()), function, return_exceptions)


def _filter_by(self: Any, function: Callable[[Any], Any]) -> Delayed:
    """The list of the rows for which ``function`` is true, next to the data; see `Delayed.filter_by`."""
    return recording.where(Delayed(self.__rpc_node__()), function)


_map.__name__, _filter_by.__name__ = "map", "filter_by"
