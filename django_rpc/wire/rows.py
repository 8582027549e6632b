"""Rows under a header: each column has a wire type, so values need no tags and one typed decoder reads all of them.

A column with values of one Python type (apart from None) is sent with the name of that type. Any other column is
``"any"``, and its values have tags like arguments. Types are determined from the values, never guessed from text.
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

from django_rpc.errors import BadValue
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

#: Integers outside of this range are tagged, because most languages have no larger integers.
INT64 = (-(2**63), 2**63 - 1)
_ZONE = operator.attrgetter("tzinfo")
_FOLD = operator.attrgetter("fold")
_EXACT_ZONES = {None, datetime.UTC}
#: ArithmeticError is raised for ``Decimal("1e99999999999999999999")``.
_READ_ERRORS = (msgspec.MsgspecError, ValueError, ArithmeticError)


def _ints(column: Sequence[Any]) -> bool:
    return bool(min(column) >= INT64[0] and max(column) <= INT64[1])


def _finite(column: Sequence[Any]) -> bool:
    return math.isfinite(sum(column)) or all(map(math.isfinite, column))


def _naive_or_utc(column: Sequence[Any]) -> bool:
    return set(map(_ZONE, column)) <= _EXACT_ZONES and not any(map(_FOLD, column))


#: Check for each type: returns True if the plain text of the column's values is exact.
_EXACT: dict[type, Callable[[Sequence[Any]], bool]] = {
    int: _ints,
    float: _finite,
    datetime.datetime: _naive_or_utc,
    datetime.time: _naive_or_utc,
}


def column_type(column: Sequence[Any]) -> str:
    """Return the wire type of a column.

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
    """Return ``(types, rows)`` to be encoded. Raises BadValue for rows of different lengths.

    ``pack`` tags the values of ``"any"`` columns. ``tags_datetimes`` means that ``pack`` changes datetimes, so datetime
    columns are ``"any"`` too.

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
    return list[tuple[tuple(hints)]]  # type: ignore[misc]  # narrower than mypy can tell


@functools.lru_cache(maxsize=256)
def _decoder(types: tuple[str, ...]) -> msgspec.json.Decoder[list[Row]]:
    return msgspec.json.Decoder(_row_hint(types))


def decode_rows(types: tuple[str, ...], raw: bytes, unpack: Callable[[Any], Any], limits: Limits) -> list[Row]:
    """Return the rows in the JSON text ``raw``; raises BadValue for a value that does not have its column's type."""
    _check_width(types, limits)
    try:
        rows = _decoder(types).decode(raw)
    except _READ_ERRORS as error:
        raise BadValue(f"The rows do not fit their header: {error}.") from None
    return _finish(types, rows, unpack, limits)


def convert_rows(types: tuple[str, ...], parsed: Any, unpack: Callable[[Any], Any], limits: Limits) -> list[Row]:
    """Do the same as `decode_rows` for rows inside another value, which the parser has already read."""
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
    """Unpack the ``"any"`` columns, make datetimes naive for an end with only naive datetimes, and apply the checks
    that the typed decoder does not do."""
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
