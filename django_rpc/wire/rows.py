"""Rows under a header: a wire type per column, so that the values need no tags and one typed decoder reads them all.

A column whose values are of one Python type (None aside) travels by the name of that type; any other column is
``"any"``: its values are tagged like arguments.  Types are looked at, never guessed from text.
"""

from __future__ import annotations

import datetime
import decimal
import functools
import math
import operator
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from django_rpc.wire.errors import BadValue
from django_rpc.wire.limits import Limits
from django_rpc.wire.zones import as_naive

__all__ = ["COLUMN_TYPES", "INT64", "convert_rows", "decode_rows", "pack_rows"]

Row = tuple[Any, ...]

#: The wire name of each column type.
COLUMN_TYPES: dict[str, Any] = {
    "null": type(None),  # every value is null
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "decimal": decimal.Decimal,
    "datetime": datetime.datetime,
    "date": datetime.date,
    "time": datetime.time,
    "duration": datetime.timedelta,
    "uuid": uuid.UUID,
    "bytes": bytes,
    "any": Any,
}
_NAMES: dict[type, str] = {kind: name for name, kind in COLUMN_TYPES.items() if kind is not Any}

#: Integers outside it are tagged: most languages have no larger ones.
INT64 = (-(2**63), 2**63 - 1)
_ZONE = operator.attrgetter("tzinfo")
_FOLD = operator.attrgetter("fold")
_EXACT_ZONES = {None, datetime.UTC}
#: ArithmeticError: ``Decimal("1e99999999999999999999")``.
_READ_ERRORS = (msgspec.MsgspecError, ValueError, ArithmeticError)


def _ints(column: Sequence[Any]) -> bool:
    return bool(min(column) >= INT64[0] and max(column) <= INT64[1])


def _finite(column: Sequence[Any]) -> bool:
    return math.isfinite(sum(column)) or all(map(math.isfinite, column))


def _naive_or_utc(column: Sequence[Any]) -> bool:
    return set(map(_ZONE, column)) <= _EXACT_ZONES and not any(map(_FOLD, column))


#: What a column's values must pass for the plain text of their type to be exact.
_EXACT: dict[type, Callable[[Sequence[Any]], bool]] = {
    int: _ints,
    float: _finite,
    datetime.datetime: _naive_or_utc,
    datetime.time: _naive_or_utc,
}


def column_type(column: Sequence[Any]) -> str:
    """The wire type of a column.

    >>> column_type([1, None, 3]), column_type([1, True]), column_type([float("nan")])
    ('int', 'any', 'any')
    """
    kinds = set(map(type, column))
    some_null = type(None) in kinds
    kinds.discard(type(None))
    if not kinds:
        return "null"
    kind = kinds.pop()
    if kinds or kind not in _NAMES:
        return "any"
    exact = _EXACT.get(kind)
    if exact is not None:
        values = [value for value in column if value is not None] if some_null else column
        if not exact(values):
            return "any"
    return _NAMES[kind]


def pack_rows(
    rows: Sequence[Row], width: int, pack: Callable[[Any], Any], *, tags_datetimes: bool = False
) -> tuple[list[str], Sequence[Any]]:
    """``(types, rows)`` to be written; ``pack`` tags the values of ``"any"`` columns.  Raises BadValue for ragged rows.

    ``tags_datetimes``: ``pack`` changes datetimes, so their columns are ``"any"`` too.

    >>> pack_rows([(1, "a"), (2, None)], 2, lambda value: value)
    (['int', 'str'], [(1, 'a'), (2, None)])
    """
    if not rows:
        return ["null"] * width, []
    try:
        columns: list[Any] = list(zip(*rows, strict=True))
    except ValueError:
        columns = []
    if len(columns) != width:
        raise BadValue(f"A row does not have {width} values, one for each column of its header.")
    types = [column_type(column) for column in columns]
    if tags_datetimes:
        types = ["any" if name == "datetime" else name for name in types]
    if "any" not in types:
        return types, rows
    packed = [list(map(pack, c)) if t == "any" else c for t, c in zip(types, columns, strict=True)]
    return types, list(zip(*packed, strict=True))


@functools.lru_cache(maxsize=256)
def _row_hint(types: tuple[str, ...]) -> Any:
    hints = []
    for name in types:
        if name not in COLUMN_TYPES:
            raise BadValue(f"{name!r} is not a column type; there are {', '.join(COLUMN_TYPES)}.")
        kind = COLUMN_TYPES[name]
        hints.append(kind if kind is Any else kind | None)
    return list[tuple[tuple(hints)]]  # type: ignore[misc]


@functools.lru_cache(maxsize=256)
def _decoder(types: tuple[str, ...]) -> msgspec.json.Decoder[list[Row]]:
    return msgspec.json.Decoder(_row_hint(types))


def decode_rows(types: tuple[str, ...], raw: bytes, unpack: Callable[[Any], Any], limits: Limits) -> list[Row]:
    """The rows that the JSON text ``raw`` holds; raises BadValue where a value is not of its column's type."""
    _check_width(types, limits)
    try:
        rows = _decoder(types).decode(raw)
    except _READ_ERRORS as error:
        raise BadValue(f"The rows do not fit their header: {error}.") from None
    return _finish(types, rows, unpack, limits)


def convert_rows(types: tuple[str, ...], parsed: Any, unpack: Callable[[Any], Any], limits: Limits) -> list[Row]:
    """Like `decode_rows`, from what a parser made of the text: rows that stand inside another value."""
    _check_width(types, limits)
    try:
        rows: list[Row] = msgspec.convert(parsed, _row_hint(types))
    except _READ_ERRORS as error:
        raise BadValue(f"The rows do not fit their header: {error}.") from None
    return _finish(types, rows, unpack, limits)


def _check_width(types: tuple[str, ...], limits: Limits) -> None:
    if len(types) > limits.columns:
        raise BadValue(
            f"The rows have {len(types):,} columns; at most {limits.columns:,} are allowed (limit 'columns')."
        )


def _finish(types: tuple[str, ...], rows: list[Row], unpack: Callable[[Any], Any], limits: Limits) -> list[Row]:
    """Unpack the ``"any"`` columns, make datetimes naive at an end that has none but those, and check what the typed
    decoder cannot."""
    naive_zone = getattr(unpack, "naive_zone", None)
    if naive_zone is not None and "datetime" in types:
        places = [place for place, name in enumerate(types) if name == "datetime"]
        rows = [_naive_row(row, places, naive_zone) for row in rows]
    for position, name in enumerate(types):
        if name == "decimal":
            _check_decimals([row[position] for row in rows], limits)
        elif name == "int":
            _check_ints([row[position] for row in rows])
        elif name in ("str", "bytes") and limits.text < limits.message_bytes:
            _check_lengths([row[position] for row in rows], limits)
    if "any" not in types or not rows:
        return rows
    columns: list[Any] = list(zip(*rows, strict=True))
    columns = [list(map(unpack, c)) if t == "any" else c for t, c in zip(types, columns, strict=True)]
    return list(zip(*columns, strict=True))


def _naive_row(row: Row, places: list[int], zone: datetime.tzinfo) -> Row:
    values = list(row)
    for place in places:
        if values[place] is not None:
            values[place] = as_naive(values[place], zone)
    return tuple(values)


def _check_decimals(column: list[Any], limits: Limits) -> None:
    powers = [value.adjusted() for value in column if value is not None]
    if powers and (max(powers) > limits.digits or min(powers) < -limits.digits):
        raise BadValue(f"A decimal has more than {limits.digits:,} digits when written out (limit 'digits').")


def _check_ints(column: list[Any]) -> None:
    values = [value for value in column if value is not None]
    if values and not _ints(values):
        raise BadValue('An integer is beyond 64 bits: write it in a column of the type "any", as {"$int": "..."}.')


def _check_lengths(column: list[Any], limits: Limits) -> None:
    if max((len(value) for value in column if value is not None), default=0) > limits.text:
        raise BadValue(f"A text has more than {limits.text:,} characters (limit 'text').")
