"""Attributes, items, operators and methods of the values of nodes.

Operations on plain values are a closed list, and the size of their results is limited. Without the limit, a short
message with a chain of nodes that each double a text would fill the memory.
"""

from __future__ import annotations

import datetime
import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db.models import Model, QuerySet

from django_rpc.graph.nodes import Attr, Item, Operator
from django_rpc.graph.values import ATOMS, Record, RowSet
from django_rpc.graph.vocabulary.names import OPERATORS, VALUE_METHODS
from django_rpc.server.evaluate import instances
from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.server.evaluate.queries import METHODS as QUERY_METHODS
from django_rpc.server.evaluate.relations import Relation
from django_rpc.server.query.loaded_relations import loaded_by, remember
from django_rpc.server.visitors import visits

__all__ = ["attribute", "call", "item", "operate"]

#: The maximum length of a text, bytes, list or tuple that an operation returns.
MAX_LENGTH = 10_000_000
#: Approximate memory of an item of a list: a reference and a short text.
ITEM_BYTES = 64
#: The maximum size of an integer that an operation returns, in bits.
MAX_BITS = 10_000

_ATTRIBUTES: dict[type, frozenset[str]] = {
    datetime.date: frozenset("year month day".split()),
    datetime.datetime: frozenset("year month day hour minute second microsecond".split()),
    datetime.time: frozenset("hour minute second microsecond".split()),
    datetime.timedelta: frozenset("days seconds microseconds".split()),
}
_CONTAINERS = (list, tuple, dict, set, frozenset)
#: Operators that compare. Instances are compared by model and primary key, without code of the model.
_COMPARED = frozenset("eq ne lt le gt ge contains".split())
_OPERATORS: dict[str, Callable[..., Any]] = {name: getattr(operator, name) for name in OPERATORS}


@visits(Attr)
def attribute(ev: Evaluator, node: Attr) -> Any:
    value, name = ev.values[node.parent], node.name
    if isinstance(value, Model):
        return instances.attribute(ev, value, name)
    if name in _ATTRIBUTES.get(type(value), ()) or (isinstance(value, tuple) and name in getattr(value, "_fields", ())):
        return getattr(value, name)
    if isinstance(value, Record) and name in value.fields:
        return value.values[value.fields.index(name)]
    raise AttributeError(f"'{type(value).__name__}' object has no attribute '{name}'")


@visits(Item)
def item(ev: Evaluator, node: Item) -> Any:
    value, key = ev.values[node.parent], ev.resolve(node.key)
    if isinstance(value, Relation):
        value = value.queryset(ev)
    if isinstance(value, QuerySet):
        value = ev.as_client(value)
        if isinstance(key, slice):
            return value[key]
        return remember(ev.complete(value)[key], loaded_by(value))
    if isinstance(value, RowSet):
        value = value.rows
    if isinstance(value, str | bytes | list | tuple | dict):
        return _made(ev, value[key]) if isinstance(key, slice) else value[key]
    raise TypeError(f"'{type(value).__name__}' object is not subscriptable")


@visits(Operator)
def operate(ev: Evaluator, node: Operator) -> Any:
    args, name = ev.resolve.args(node.args), node.name
    if name == "contains" and isinstance(args[0], QuerySet | Relation):
        queryset = args[0].queryset(ev) if isinstance(args[0], Relation) else ev.as_client(args[0])
        return QUERY_METHODS["contains"](ev, queryset, [args[1]], {})
    if name in ("and_", "or_", "xor") and all(isinstance(arg, QuerySet) for arg in args):
        return _OPERATORS[name](*(ev.as_client(arg) for arg in args))
    if name in _COMPARED:
        args = [ev.references.identities(arg) for arg in args]
    if name in ("eq", "ne", "not_") or all(_is_plain(arg) for arg in args):
        _check_size(name, args)
        return _made(ev, _OPERATORS[name](*args))
    kinds = " and ".join(repr(type(arg).__name__) for arg in args)
    raise TypeError(f"unsupported operand type(s) for {name}: {kinds}")


def _made(ev: Evaluator, value: Any) -> Any:
    """Return the result of an operation after its size was checked and added to the total of the request."""
    if isinstance(value, str | bytes | list | tuple | dict):
        ev.sizes.count(len(value) if isinstance(value, str | bytes) else len(value) * ITEM_BYTES)
        ev.sizes.check(value)
    return value


def _is_plain(value: Any) -> bool:
    return type(value) in ATOMS or isinstance(value, _CONTAINERS)


def _check_size(name: str, args: list[Any]) -> None:
    """Raise ValueError for an operation with a huge result, before it runs."""
    if name not in ("add", "mul", "pow", "lshift", "mod", "sub", "truediv", "floordiv"):
        return
    lengths = [len(arg) for arg in args if isinstance(arg, str | bytes | list | tuple)]
    numbers = [abs(arg) for arg in args if isinstance(arg, int)]
    if name == "mod" and lengths and isinstance(args[0], str | bytes):
        raise TypeError("Texts are not formatted by %: it may read what it is given and grow without bound.")
    if lengths and (sum(lengths) if name == "add" else max(lengths) * max(numbers, default=1)) > MAX_LENGTH:
        raise ValueError(f"The result would be longer than {MAX_LENGTH:,}.")
    if len(numbers) == 2:
        bits = [number.bit_length() for number in numbers]
        made = {"mul": sum(bits), "pow": bits[0] * numbers[1], "lshift": bits[0] + numbers[1]}.get(name, 0)
        if made > MAX_BITS:
            raise ValueError(f"The result would have more than {MAX_BITS:,} bits.")
    if any(isinstance(arg, Decimal) and arg.is_finite() and abs(arg.adjusted()) > MAX_BITS for arg in args):
        raise ValueError("A decimal with so large an exponent is not calculated with.")


def call(ev: Evaluator, value: Any, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Return ``value.name(*args, **kwargs)`` for a method of plain values; raises AttributeError for other methods."""
    kind = type(value).__name__
    if name not in VALUE_METHODS.get(kind, ()) or type(value) not in (*ATOMS, *_CONTAINERS):
        raise AttributeError(f"'{kind}' object has no attribute '{name}'")
    if name in _GROWING and _GROWING[name](value, *args, **kwargs) > MAX_LENGTH:
        raise ValueError(f"The result would be longer than {MAX_LENGTH:,}.")
    if name == "index":
        value, args = ev.references.identities(value), ev.references.identities(args)
    result = getattr(value, name)(*args, **kwargs)
    return _made(ev, list(result) if kind == "dict" else result)


def _replaced(value: str, old: Any = "", new: Any = "", *args: Any, **kwargs: Any) -> int:
    return (len(value) + 1) * max(len(new) if isinstance(new, str) else 0, 1)


def _joined(value: str, parts: Any = (), *args: Any, **kwargs: Any) -> int:
    if not isinstance(parts, _CONTAINERS):
        return 0
    return sum(len(part) for part in parts if isinstance(part, str)) + len(value) * len(parts)


#: The maximum length of the result, for methods with a result that may be much longer than their arguments.
_GROWING: dict[str, Callable[..., int]] = {"replace": _replaced, "join": _joined}
