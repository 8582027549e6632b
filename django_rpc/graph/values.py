"""The values that nodes have as arguments and as results.

They are Python values (None, bool, int, float, str, bytes, Decimal, date, time, datetime, timedelta, UUID, ZoneInfo,
timezone, list, tuple, set, frozenset, dict, slice) and language-neutral forms of Django's objects. ``Q`` is a
`Condition`. ``F``, ``Count`` and similar classes are an `Expr`. A model instance in an argument is a `Reference`.
"""

from __future__ import annotations

import datetime
import decimal
import functools
import uuid
import zoneinfo
from typing import Any

import msgspec

__all__ = ["ATOMS", "Condition", "Expr", "Handed", "NamedRow", "Record", "Reference", "RowSet", "Table", "freeze"]

#: Types that have the same meaning at both ends and contain no other values.
ATOMS: frozenset[type] = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        str,
        bytes,
        decimal.Decimal,
        datetime.datetime,
        datetime.date,
        datetime.time,
        datetime.timedelta,
        datetime.timezone,
        uuid.UUID,
        zoneinfo.ZoneInfo,
    }
)


class Expr(msgspec.Struct, frozen=True):
    """A query expression by its name in ``vocabulary.EXPRESSIONS``: ``Expr("Count", ("orders",), {"distinct": True})``.

    A model field as ``output_field`` is an `Expr` too: ``Expr("DecimalField", (), {"max_digits": 9})``.
    """

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}


class Condition(msgspec.Struct, frozen=True):
    """A ``Q``: children are ``(lookup, value)`` pairs, conditions, or expressions that are conditions."""

    children: tuple[Any, ...]
    connector: str = "AND"
    negated: bool = False


class Reference(msgspec.Struct, frozen=True):
    """A model instance as an argument: the label of the model and the primary key, and no other value.

    ``key`` is a tuple if the primary key is composite. For a content type, it is the label of the model, because the
    primary keys of content types differ between projects.
    """

    model: str
    key: Any


class Handed(msgspec.Struct, frozen=True):
    """Placeholder for a value from another service: number ``place`` among the values of the request ``origin``.

    ``origin`` is an index into the requests that values are received from (`wire.messages.Request.given`).
    """

    origin: int
    place: int

    def __repr__(self) -> str:
        return f"<value {self.place} from request {self.origin}>"


class Record(msgspec.Struct, frozen=True):
    """A model instance in a result.

    ``fields`` are attribute names (``customer_id``), names of annotations, and names of relations that were loaded with
    the instance. The value of a relation is a `Record`, a `Table` or None.

    ``parents`` are pairs of the name of a relation and the instance that the relation leads to: the instance whose
    relation was read (``customer.orders``). The client did not request it, and ignores a name that is no relation.
    """

    model: str
    fields: tuple[str, ...]
    values: tuple[Any, ...]
    parents: tuple[tuple[str, Record], ...] = ()


class Table(msgspec.Struct, frozen=True):
    """Many instances of one model in a result: a tuple of values for each row, under one header.

    All instances have the same ``parents`` (see `Record`).
    """

    model: str
    fields: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    parents: tuple[tuple[str, Record], ...] = ()


class RowSet(msgspec.Struct, frozen=True):
    """The result of a ``Rows`` node: tuples of database values under a header."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


class NamedRow(msgspec.Struct, frozen=True):
    """A row of ``values_list(named=True)`` in a result: a named tuple."""

    fields: tuple[str, ...]
    values: tuple[Any, ...]


@functools.singledispatch
def freeze(value: Any) -> Any:
    """Return the form of ``value`` that a node can hold; raises TypeError for a value that cannot cross the wire.

    Higher packages register their types (Django's Q, F, querysets, instances) with ``@freeze.register``. An iterator
    that can be read only once is read here, so that a second reader loses nothing.
    """
    if type(value) in ATOMS:
        return value
    node = getattr(value, "__rpc_node__", None)
    if node is not None:
        return node()
    if hasattr(value, "__iter__") and not isinstance(value, str | bytes):
        return [freeze(item) for item in value]
    for base in type(value).__mro__[1:-1]:
        if base in ATOMS:  # a subclass (an enum member, a SafeString) travels as its plain value
            return _plain(value, base)
    raise TypeError(
        f"{value!r} ({type(value).__module__}.{type(value).__qualname__}) cannot be sent to a service: "
        "it is neither plain data, nor a query expression, nor a query, nor a Delayed."
    )


def _plain(value: Any, base: type) -> Any:
    if base is str:
        return str.__str__(value.value if hasattr(value, "value") else value)
    if base in (int, float):
        return base(value)
    if base is bytes:
        return bytes(value)
    raise TypeError(f"Values of type {type(value).__qualname__} cannot be sent; convert to {base.__qualname__} first.")


@freeze.register(list)
def _(value: list[Any]) -> list[Any]:
    return [item if type(item) in ATOMS else freeze(item) for item in value]


@freeze.register(tuple)
def _(value: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple([item if type(item) in ATOMS else freeze(item) for item in value])


@freeze.register(set)
@freeze.register(frozenset)
def _(value: set[Any] | frozenset[Any]) -> frozenset[Any]:
    return frozenset(freeze(item) for item in value)


@freeze.register(dict)
def _(value: dict[Any, Any]) -> dict[Any, Any]:
    return {
        (key if type(key) in ATOMS else freeze(key)): (item if type(item) in ATOMS else freeze(item))
        for key, item in value.items()
    }


@freeze.register(slice)
def _(value: slice) -> slice:
    return slice(freeze(value.start), freeze(value.stop), freeze(value.step))


@freeze.register(Expr)
@freeze.register(Condition)
@freeze.register(Reference)
def _(value: Any) -> Any:
    return value
