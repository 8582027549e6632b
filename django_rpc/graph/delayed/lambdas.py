"""Recording of lambdas: each lambda is called once with a placeholder, and its operations become a sub-graph.

>>> from django_rpc.graph.delayed.delayed import Delayed
>>> from django_rpc.graph.nodes import ModelSource
>>> orders = Delayed(ModelSource("shop.Order", "rpc"))
>>> orders.map(lambda order: order.total * 2).sum()
<Delayed Order.objects.map(lambda row: (row.total * 2)).sum()>
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from django_rpc.graph.format import describe
from django_rpc.graph.nodes import Element, Filter, IfElse, Literal, Map, Node, Reduce, callsite
from django_rpc.graph.nodes.collections import depends
from django_rpc.graph.values import freeze

if TYPE_CHECKING:
    from django_rpc.graph.delayed.delayed import Delayed

__all__ = ["cond", "fold", "is_open", "is_recorded", "map_over", "where"]

#: The params of the lambdas that are currently called, the outermost first.
_open: ContextVar[tuple[Element, ...]] = ContextVar("django_rpc_open", default=())


def is_open() -> bool:
    """Return True during the call of a lambda."""
    return bool(_open.get())


def is_recorded(node: Node) -> bool:
    """Return True if ``node`` depends on the placeholder of a lambda that is currently called, so that it cannot be
    sent.

    The check costs nothing outside of a lambda.
    """
    opened = _open.get()
    return bool(opened) and bool(depends(node, opened[0].order))


def map_over(parent: Delayed, function: Callable[[Any], Any], return_exceptions: bool = False) -> Delayed:
    """Implement `Delayed.map`."""
    param, body = _record("map", parent, function)
    return _made(Map(parent._node, param, body, return_exceptions, where=callsite(1)))


def where(parent: Delayed, function: Callable[[Any], Any]) -> Delayed:
    """Implement `Delayed.filter_by`."""
    param, body = _record("filter_by", parent, function)
    return _made(Filter(parent._node, param, body, where=callsite(1)))


def fold(name: str, parent: Delayed) -> Delayed:
    """Implement ``d.map(...).sum()`` and the other folds."""
    return _made(Reduce(name, parent._node, where=callsite(1)))


def cond(test: Any, then: Any, otherwise: Any = None) -> Delayed:
    """Choose ``then if test else otherwise`` at the service; the other branch is not evaluated.

    In a lambda of ``map``, use it instead of ``if``, ``and``, ``or`` and ``not``:

    >>> from django_rpc.graph.delayed.delayed import Delayed
    >>> from django_rpc.graph.nodes import ModelSource
    >>> orders = Delayed(ModelSource("shop.Order", "rpc"))
    >>> orders.map(lambda order: cond(order.total > 100, "large", "small"))
    <Delayed Order.objects.map(lambda row: cond((row.total > 100), 'large', 'small'))>

    A write in a branch runs when ``cond`` is evaluated, and only if its branch is chosen. Raises TypeError for a value
    that cannot be sent to a service.
    """
    parts = (test, then, otherwise)
    return _made(IfElse(*[as_body(part) for part in parts], where=callsite()))


def as_body(value: Any) -> Node:
    """Return a single node for ``value``: its node, or a `Literal` that holds the nodes of a container."""
    frozen = freeze(value)
    return frozen if isinstance(frozen, Node) else Literal(frozen, where=callsite(1))


def _record(name: str, parent: Delayed, function: Callable[[Any], Any]) -> tuple[Element, Node]:
    """Return the placeholder, and the node of the result of ``function``."""
    from django_rpc.graph.delayed.delayed import Delayed

    if not callable(function):
        raise TypeError(f".{name}() takes a function of one element; it was given {function!r}.")
    outer = _open.get()
    try:
        param = Element(len(outer), where=callsite(2))
    except ValueError as error:
        raise TypeError(str(error)) from None
    token = _open.set((*outer, param))
    try:
        made = function(Delayed(param))
        body = as_body(made)
    finally:
        _open.reset(token)
    _check_writes(param, body)
    return param, body


def _check_writes(param: Element, body: Node) -> None:
    """Refuse a write in a lambda that is independent of the element: it is unclear whether it runs once or for each."""
    for node in _built_since(param, body):
        if node.writes and param not in depends(node, param.order):
            raise TypeError(
                f"{describe(node, 80)} writes, and does not depend on the element of the lambda that it was written "
                "in, so it would be done once. Build it before the lambda, or make its values depend on the element."
            )


def _built_since(param: Element, body: Node) -> Iterator[Node]:
    stack, seen = [body], {body}
    while stack:
        node = stack.pop()
        yield node
        for below in node.inputs():
            if below.order > param.order and below not in seen:
                seen.add(below)
                stack.append(below)


def _made(node: Node) -> Delayed:
    from django_rpc.graph.delayed.delayed import Delayed

    return Delayed(node)
