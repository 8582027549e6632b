"""Conversion of values to plain JSON: a value that JSON cannot express is an object with one key, the tag.

>>> pack = Packer()
>>> pack(Decimal("1.50")), pack({1: True}), pack((1, 2.5))
({'$decimal': Decimal('1.50')}, {'$dict': [[1, True]]}, {'$tuple': [1, 2.5]})

The JSON encoder itself writes the values that it can write exactly (a Decimal under ``$decimal``), because it is
faster.
"""

from __future__ import annotations

import datetime
import math
import uuid
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import NoneType
from typing import Any

import msgspec

from django_rpc.errors import BadValue
from django_rpc.graph.nodes import KINDS, Node
from django_rpc.graph.values import Condition, Expr, Handed, NamedRow, Record, Reference, RowSet, Table, freeze
from django_rpc.wire.limits import REQUEST_LIMITS, Limits, too_deep
from django_rpc.wire.messages import ErrorReport
from django_rpc.wire.rows import INT64, pack_rows
from django_rpc.wire.zones import as_moment

__all__ = ["PACKERS", "Packer", "error_form"]


class Packer:
    """Converts values to trees for the JSON encoder; raises BadValue, or MessageTooDeep for deeply nested values.

    ``index`` maps the identity of each node that a value may refer to, to its place in the message. Naive datetimes are
    encoded as local times of ``naive_zone``; without a zone they stay naive.
    """

    __slots__ = ("index", "left", "limits", "naive_zone")

    def __init__(
        self,
        index: Mapping[int, int] | None = None,
        limits: Limits = REQUEST_LIMITS,
        naive_zone: datetime.tzinfo | None = None,
    ) -> None:
        self.index: Mapping[int, int] = index if index is not None else {}
        self.limits = limits
        self.left = limits.depth
        self.naive_zone = naive_zone

    def __call__(self, value: Any) -> Any:
        kind = type(value)
        if kind is str or kind is bool or value is None:
            return value
        pack = PACKERS.get(kind)
        return pack(self, value) if pack is not None else self._other(value)

    def _other(self, value: Any) -> Any:
        """Convert a subclass, or a type that a higher package registered with `freeze`."""
        try:
            frozen = freeze(value)
        except TypeError as error:
            raise BadValue(str(error)) from None
        if type(frozen) not in PACKERS:
            raise BadValue(
                f"A value of type {type(frozen).__qualname__} cannot be sent; convert it to plain data first."
            )
        return self(frozen)

    def sequence(self, values: Sequence[Any]) -> list[Any]:
        """Convert the items, one level deeper."""
        self.left -= 1
        if self.left < 0:
            raise too_deep(self.limits)
        packed = [self(value) for value in values]
        self.left += 1
        return packed

    def mapping(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Convert the values of a dict with names as keys. The keys are not interpreted as tags."""
        self.left -= 1
        if self.left < 0:
            raise too_deep(self.limits)
        packed = {}
        for key, value in values.items():
            if type(key) is not str:
                raise BadValue(f"{key!r} cannot be a name: names are text.")
            packed[key] = self(value)
        self.left += 1
        return packed

    def reference(self, node: Node) -> int:
        """Return the place of ``node`` in the message; raises BadValue for a node that is not yet in it."""
        try:
            return self.index[id(node)]
        except KeyError:
            raise BadValue(
                f"A {type(node).__name__} node is referred to before its place in the message: "
                "give the nodes in topological order."
            ) from None


def _int(pack: Packer, value: int) -> Any:
    if INT64[0] <= value <= INT64[1]:
        return value
    # An integer of this size has fewer bits than digits * log2(10). str() is not used, because its time is quadratic.
    if value.bit_length() > pack.limits.digits * 3.3219:
        raise BadValue(f"An integer has more than {pack.limits.digits:,} digits (limit 'digits').")
    return {"$int": str(value)}


def _float(pack: Packer, value: float) -> Any:
    return value if math.isfinite(value) else {"$float": str(value)}


def _datetime(pack: Packer, value: datetime.datetime) -> Any:
    value = as_moment(value, pack.naive_zone)
    zone, fold = value.tzinfo, value.fold
    if fold == 0 and (zone is None or zone is datetime.UTC):
        return {"$datetime": value}
    if isinstance(zone, zoneinfo.ZoneInfo):
        return {"$datetime": [value.replace(tzinfo=None), _zone_key(zone), fold]}
    text = _offset_only(value, value.utcoffset())
    return {"$datetime": [text, None, 1] if fold else text}


def _time(pack: Packer, value: datetime.time) -> Any:
    zone, fold = value.tzinfo, value.fold
    if fold == 0 and (zone is None or zone is datetime.UTC):
        return {"$time": value}
    if isinstance(zone, zoneinfo.ZoneInfo):
        return {"$time": [value.replace(tzinfo=None), _zone_key(zone), fold]}
    text = _offset_only(value, value.utcoffset())
    return {"$time": [text, None, 1] if fold else text}


def _offset_only(value: Any, offset: datetime.timedelta | None) -> str:
    """Return the text of a time with only the offset of its zone."""
    if value.tzinfo is None:
        return str(value.isoformat())
    if offset is None:
        raise BadValue(f"The zone of {value!r} has neither a name nor an offset.")
    return str(value.replace(tzinfo=datetime.timezone(offset)).isoformat())


def _zone_key(zone: zoneinfo.ZoneInfo) -> str:
    if zone.key is None:
        raise BadValue("A time zone without a name cannot be sent; make it by its name: ZoneInfo('Europe/Berlin').")
    return zone.key


def _dict(pack: Packer, value: dict[Any, Any]) -> Any:
    for key in value:
        if type(key) is not str or key[:1] == "$":
            return {"$dict": pack.sequence([list(pair) for pair in value.items()])}
    return pack.mapping(value)


def _canonical(packed: list[Any]) -> list[Any]:
    """Sort the members of a set, so that equal sets have equal bytes."""
    return sorted(packed, key=msgspec.json.encode)


def _condition(pack: Packer, value: Condition) -> Any:
    children = []
    for child in value.children:
        if isinstance(child, tuple | list):
            if len(child) != 2 or type(child[0]) is not str:
                raise BadValue("A child of a condition is a pair (lookup, value), a condition or an expression.")
            children.append([child[0], *pack.sequence(child[1:])])
        else:
            children.extend(pack.sequence((child,)))
    return {"$q": [value.connector, value.negated, children]}


def _table(pack: Packer, value: Table) -> Any:
    types, rows = pack_rows(value.rows, len(value.fields), pack, tags_datetimes=pack.naive_zone is not None)
    return {"$table": [value.model, value.fields, types, rows, *_parents(pack, value)]}


def _record(pack: Packer, value: Record) -> Any:
    return {"$record": [value.model, value.fields, pack.sequence(value.values), *_parents(pack, value)]}


def _parents(pack: Packer, value: Record | Table) -> list[Any]:
    return [{name: pack(parent) for name, parent in value.parents}] if value.parents else []


def _row_set(pack: Packer, value: RowSet) -> Any:
    types, rows = pack_rows(value.rows, len(value.columns), pack, tags_datetimes=pack.naive_zone is not None)
    return {"$rows": [value.columns, types, rows]}


def error_form(pack: Packer, report: ErrorReport) -> dict[str, Any]:
    """Convert a report to its object, for values and responses; keys without a value are left out."""
    fields = {
        "code": report.code,
        "message": report.message,
        "model": report.model,
        "remote_name": report.remote_name,
        "data": pack(report.data),
        "node": report.node,
        "traceback": report.traceback,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _plain(pack: Packer, value: Any) -> Any:
    return value


def _tagged(tag: str) -> Callable[[Packer, Any], Any]:
    """Return the converter of a type that the JSON encoder writes exactly."""
    return lambda pack, value: {tag: value}


#: The converter of each type. A test compares the types with ``values.ATOMS`` and the table of tags.
PACKERS: dict[type, Callable[[Packer, Any], Any]] = {
    NoneType: _plain,
    bool: _plain,
    str: _plain,
    int: _int,
    float: _float,
    bytes: _tagged("$bytes"),
    Decimal: _tagged("$decimal"),
    datetime.datetime: _datetime,
    datetime.date: _tagged("$date"),
    datetime.time: _time,
    datetime.timedelta: _tagged("$duration"),
    datetime.timezone: lambda pack, value: {"$offset": value.utcoffset(None)},
    uuid.UUID: _tagged("$uuid"),
    zoneinfo.ZoneInfo: lambda pack, value: {"$zone": _zone_key(value)},
    list: lambda pack, value: pack.sequence(value),
    tuple: lambda pack, value: {"$tuple": pack.sequence(value)},
    set: lambda pack, value: {"$set": _canonical(pack.sequence(list(value)))},
    frozenset: lambda pack, value: {"$frozenset": _canonical(pack.sequence(list(value)))},
    dict: _dict,
    slice: lambda pack, value: {"$slice": pack.sequence((value.start, value.stop, value.step))},
    Expr: lambda pack, value: {"$expr": [value.name, pack.sequence(value.args), pack.mapping(value.kwargs)]},
    Condition: _condition,
    Reference: lambda pack, value: {"$instance": [value.model, pack(value.key)]},
    Record: _record,
    Table: _table,
    NamedRow: lambda pack, value: {"$named": [value.fields, pack.sequence(value.values)]},
    RowSet: _row_set,
    Handed: lambda pack, value: {"$given": (value.origin, value.place)},
    ErrorReport: lambda pack, value: {"$error": error_form(pack, value)},
    **dict.fromkeys(KINDS.values(), lambda pack, node: {"$ref": pack.reference(node)}),
}
