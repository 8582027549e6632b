"""Conversion of plain JSON to values: one reader for each tag, which validates its input."""

from __future__ import annotations

import base64
import datetime
import keyword
import re
import uuid
import zoneinfo
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from django_rpc.errors import BadValue, ForwardReference, MessageTooLarge, UnknownTag
from django_rpc.graph.nodes import Node
from django_rpc.graph.values import ATOMS, Condition, Expr, NamedRow, Record, Reference, RowSet, Table
from django_rpc.graph.vocabulary.names import check_model
from django_rpc.graph.vocabulary.signatures import check_condition, check_expression
from django_rpc.wire.hashes import Hashes
from django_rpc.wire.limits import REQUEST_LIMITS, Limits
from django_rpc.wire.messages import ErrorReport
from django_rpc.wire.rows import INT64, convert_rows
from django_rpc.wire.zones import as_naive, named_zone

__all__ = ["TAGS", "ErrorForm", "Unpacker", "read_cells", "read_error", "read_parents"]

T = TypeVar("T")

_DECIMAL = re.compile(r"[+-]?(?:(\d+\.?\d*|\.\d+)(?:[Ee][+-]?\d{1,9})?|Infinity|s?NaN\d*)", re.ASCII)
_INT = re.compile(r"-?\d+", re.ASCII)
_DATE = r"\d{4}-\d\d-\d\d"
_TIME = r"\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d(?::\d\d(?:\.\d{6})?)?)?"
_DATE_ONLY = re.compile(_DATE, re.ASCII)
_TIME_ONLY = re.compile(_TIME, re.ASCII)
_DATE_TIME = re.compile(f"{_DATE}T{_TIME}", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


#: Number of values between two calls of ``check``.
_PARTS = 5_000


def _never() -> None:
    """Do nothing: the reader has no time limit."""


class Unpacker:
    """Converts parsed JSON to values; raises a WireError, or ValueError for a value that its type refuses.

    A value may refer to ``nodes``, the earlier nodes of the message. ``given`` are the values from other services, by
    request and place. Aware datetimes become local times of ``naive_zone``; without a zone they stay aware. ``check``
    is called every few values, and raises after the deadline of the request.

    >>> Unpacker()({"$tuple": [1, {"$decimal": "1.50"}]})
    (1, Decimal('1.50'))
    """

    __slots__ = ("check", "code", "given", "hashes", "left", "limits", "naive_zone", "nodes", "text")

    def __init__(
        self,
        nodes: Sequence[Node] = (),
        limits: Limits = REQUEST_LIMITS,
        given: Sequence[Sequence[Any]] = (),
        naive_zone: datetime.tzinfo | None = None,
        check: Callable[[], object] = _never,
    ) -> None:
        self.naive_zone = naive_zone
        self.check = check
        self.hashes = Hashes(check)
        self.left = _PARTS
        self.nodes = nodes
        self.given = given
        self.limits = limits
        self.text = limits.text
        self.code = 0

    def __call__(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            if len(value) > self.text:
                raise BadValue(
                    f"A text has {len(value):,} characters; at most {self.text:,} are allowed (limit 'text')."
                )
            return value
        if kind is int:
            if not INT64[0] <= value <= INT64[1]:
                raise BadValue('An integer is beyond 64 bits: write {"$int": "..."}.')
            return value
        if kind is list:
            self.count(len(value))
            return [self(item) for item in value]
        if kind is dict:
            return self._object(value)
        return value  # None, bool, float: the parser makes no other type

    def count(self, number: int) -> None:
        """Count values before they are read, and call ``check`` every few values."""
        self.left -= number
        if self.left < 0:
            self.left = _PARTS
            self.check()

    def count_code(self, code: bytes) -> bytes:
        """Return the code of a shipped function; raises MessageTooLarge if a message has too many bytes of code."""
        self.code += len(code)
        if self.code > self.limits.code_bytes:
            raise MessageTooLarge(
                f"The functions that the message ships have {self.code:,} bytes or more; at most "
                f"{self.limits.code_bytes:,} are allowed (limit 'code_bytes'). Ship less, or pass their data as "
                "arguments."
            )
        return code

    def _object(self, value: dict[str, Any]) -> Any:
        self.count(1 + len(value))
        for key in value:
            if key[:1] == "$":
                break
        else:
            return {key: self(item) for key, item in value.items()}
        read = TAGS.get(key) if len(value) == 1 else None
        if read is None:
            raise UnknownTag(
                f"{key[:40]!r} is not a tag of this version, or not the only key of its object. "
                'A key that starts with "$" is written in a {"$dict": [[key, value], ...]}.'
            )
        return read(self, value[key])

    def node(self, index: Any) -> Node:
        """Return the node at ``index``, which must precede the node that refers to it."""
        if type(index) is not int or index < 0:
            raise BadValue("A reference is the index of a node: an integer from 0.")
        if index >= len(self.nodes):
            raise ForwardReference(
                f"Node {index} is referred to by a node with only {len(self.nodes)} nodes before it: "
                "put each node after its inputs."
            )
        return self.nodes[index]

    def names(self, value: Any) -> tuple[str, ...]:
        """Return a list of names as a tuple."""
        for name in expect(value, list, "a list of names"):
            expect(name, str, "a name")
        return tuple(value)

    def mapping(self, value: Any) -> dict[str, Any]:
        """Convert an object with names as keys. Its keys are not interpreted as tags."""
        return {key: self(item) for key, item in expect(value, dict, "an object").items()}


def expect(value: Any, kind: type[T], what: str) -> T:
    """Return ``value`` if it has exactly this type; raises BadValue that names the expected type."""
    if type(value) is not kind:
        raise BadValue(f"{what[0].upper()}{what[1:]} is needed, and not {_named(value)}.")
    return value


def _named(value: Any) -> str:
    return {dict: "an object", list: "an array", str: "a text", NoneType: "null"}.get(
        type(value), "a number or boolean"
    )


NoneType = type(None)


def _fields(value: Any, count: int, tag: str) -> list[Any]:
    items = expect(value, list, f"an array of {count} after {tag}")
    if len(items) != count:
        raise BadValue(f"{tag} is an array of {count}, and not of {len(items)}.")
    return items


def _match(value: Any, pattern: re.Pattern[str], tag: str) -> str:
    text = expect(value, str, f"a text after {tag}")
    if len(text) > 2_000_000 or not pattern.fullmatch(text):
        raise BadValue(f"{text[:60]!r} is not written as {tag} has to be.")
    return text


def _read_decimal(unpack: Unpacker, value: Any) -> Decimal:
    limit = unpack.limits.digits
    if type(value) is str and len(value) > limit + 20:
        raise BadValue(f"A decimal has more than {limit:,} digits (limit 'digits').")
    number = Decimal(_match(value, _DECIMAL, "$decimal"))
    unpack.hashes.note(number)
    if number.is_finite() and abs(number.adjusted()) > limit:
        raise BadValue(f"A decimal has more than {limit:,} digits when written out (limit 'digits').")
    return number


def _read_int(unpack: Unpacker, value: Any) -> int:
    if type(value) is str and len(value) > unpack.limits.digits + 1:
        raise BadValue(f"An integer has more than {unpack.limits.digits:,} digits (limit 'digits').")
    number = int(_match(value, _INT, "$int"))
    unpack.hashes.note(number)
    return number


def _read_float(unpack: Unpacker, value: Any) -> float:
    if value not in ("nan", "inf", "-inf"):
        raise BadValue("$float is one of nan, inf, -inf; other numbers are written plainly.")
    return float(value)


def _zoned(value: Any, pattern: re.Pattern[str], tag: str, parse: Callable[[str], Any]) -> Any:
    if type(value) is str:
        return _with_offset(_match(value, pattern, tag), parse)
    text, zone, fold = _fields(value, 3, tag)
    parsed = _with_offset(_match(text, pattern, tag), parse)
    if type(fold) is not int or fold not in (0, 1):
        raise BadValue(f"The fold of {tag} is 0 or 1.")
    if zone is not None:
        if parsed.tzinfo is not None:
            raise BadValue(f"{tag} has either an offset or a zone, not both.")
        parsed = parsed.replace(tzinfo=_zone(zone))
    return parsed.replace(fold=fold)


def _with_offset(text: str, parse: Callable[[str], Any]) -> Any:
    parsed = parse(text)
    if parsed.tzinfo is datetime.UTC and text[-15:-6] == "00:00:00.":  # CPython's parser drops less than a second
        offset = datetime.timedelta(microseconds=int(text[-16] + text[-6:]))
        return parsed.replace(tzinfo=datetime.timezone(offset))
    return parsed


def _zone(value: Any) -> zoneinfo.ZoneInfo:
    return named_zone(expect(value, str, "a text after $zone"))


def _duration(value: Any, tag: str) -> datetime.timedelta:
    return msgspec.convert(expect(value, str, f"a text after {tag}"), datetime.timedelta)


def _read_bytes(unpack: Unpacker, value: Any) -> bytes:
    text = expect(value, str, "base64 after $bytes")
    if len(text) > unpack.text:
        raise BadValue(f"A text has {len(text):,} characters; at most {unpack.text:,} are allowed (limit 'text').")
    return base64.b64decode(text, validate=True)


def _read_list(unpack: Unpacker, value: Any, tag: str) -> list[Any]:
    items = expect(value, list, f"an array after {tag}")
    unpack.count(len(items))
    return [unpack(item) for item in items]


def _read_tuple(unpack: Unpacker, value: Any) -> tuple[Any, ...]:
    items = tuple(_read_list(unpack, value, "$tuple"))
    if not any(type(item) in (tuple, frozenset) for item in items):  # the hash of a nested tuple reads the inner tuple
        unpack.hashes.note(items)
    return items


def _read_members(unpack: Unpacker, value: Any, tag: str) -> list[Any]:
    """Return the members of a set; raises BadValue for too many members with equal hashes."""
    members = _read_list(unpack, value, tag)
    unpack.hashes.add(members)
    return members


def _read_uuid(unpack: Unpacker, value: Any) -> uuid.UUID:
    number = uuid.UUID(_match(value, _UUID, "$uuid"))
    unpack.hashes.note(number)
    return number


def _read_slice(unpack: Unpacker, value: Any) -> slice:
    start, stop, step = map(unpack, _fields(value, 3, "$slice"))
    return slice(start, stop, step)


def _read_dict(unpack: Unpacker, value: Any) -> dict[Any, Any]:
    read: dict[Any, Any] = {}
    for pair in expect(value, list, "an array after $dict"):
        key, item = _fields(pair, 2, "a pair of $dict")
        unpack.count(2)
        key = unpack(key)
        unpack.hashes.note(key)
        read[key] = unpack(item)
    return read


def _read_expr(unpack: Unpacker, value: Any) -> Expr:
    name, args, kwargs = _fields(value, 3, "$expr")
    expr = Expr(
        expect(name, str, "the name of an expression"),
        tuple([unpack(item) for item in expect(args, list, "an array of arguments")]),
        unpack.mapping(kwargs),
    )
    check_expression(expr)
    return expr


def _read_condition(unpack: Unpacker, value: Any) -> Condition:
    connector, negated, packed = _fields(value, 3, "$q")
    children: list[Any] = []
    for child in expect(packed, list, "an array of children"):
        if type(child) is list:
            lookup, operand = _fields(child, 2, "a pair of $q")
            children.append((lookup, unpack(operand)))
        else:
            children.append(unpack(child))
    condition = Condition(tuple(children), connector, negated)
    check_condition(condition)
    return condition


def _read_reference(unpack: Unpacker, value: Any) -> Reference:
    model, packed = _fields(value, 2, "$instance")
    check_model(model)
    key = unpack(packed)
    parts = key if type(key) is tuple else (key,)
    if not parts or not all(type(part) in ATOMS and part is not None for part in parts):
        raise BadValue("The primary key after $instance is a plain value, or a tuple of plain values.")
    reference = Reference(model, key)
    unpack.hashes.note(reference)  # the server collects references in sets
    return reference


def _read_given(unpack: Unpacker, value: Any) -> Any:
    origin, place = (expect(item, int, "a number") for item in _fields(value, 2, "$given"))
    if not (0 <= origin < len(unpack.given) and 0 <= place < len(unpack.given[origin])):
        raise BadValue(f"This message has no value {place} from a request {origin}.")
    return unpack.given[origin][place]


def _read_record(unpack: Unpacker, value: Any) -> Record:
    (model, fields, values), parents = _with_parents(unpack, value, 3, "$record")
    check_model(model)
    names = unpack.names(fields)
    return Record(model, names, tuple(map(unpack, _fields(values, len(names), "$record"))), parents)


def _with_parents(unpack: Unpacker, value: Any, count: int, tag: str) -> tuple[list[Any], Any]:
    """Return the first ``count`` items of ``value``, and the parents after them, which may be absent."""
    items = expect(value, list, f"an array of {count} after {tag}")
    if len(items) == count + 1:
        return items[:count], read_parents(unpack, items[count])
    return _fields(value, count, tag), ()


def read_parents(unpack: Unpacker, value: Any) -> tuple[tuple[str, Record], ...]:
    """Return the parents of rows; raises BadValue unless ``value`` is an object of records."""
    pairs = []
    for name, parent in unpack.mapping(value).items():
        if type(parent) is not Record:
            raise BadValue('A parent of rows is written as {"$record": ...}.')
        pairs.append((name, parent))
    return tuple(pairs)


def _read_named(unpack: Unpacker, value: Any) -> NamedRow:
    fields, values = _fields(value, 2, "$named")
    names = unpack.names(fields)
    if len(set(names)) != len(names):
        raise BadValue("The names of $named are different from each other.")
    for name in names:
        if name[:1] == "_" or not name.isidentifier() or keyword.iskeyword(name):
            raise BadValue(f"{name[:60]!r} cannot be a name of $named.")
    row = NamedRow(names, tuple(map(unpack, expect(values, list, "an array of values in $named"))))
    if len(row.values) < len(names):
        raise BadValue("The values of $named are fewer than its names.")
    return row


def _read_table(unpack: Unpacker, value: Any) -> Table:
    (model, fields, types, rows), parents = _with_parents(unpack, value, 4, "$table")
    check_model(model)
    names, kinds = _header(unpack, fields, types)
    return Table(model, names, read_cells(unpack, kinds, rows), parents)


def _read_rows(unpack: Unpacker, value: Any) -> RowSet:
    columns, types, rows = _fields(value, 3, "$rows")
    names, kinds = _header(unpack, columns, types)
    return RowSet(names, read_cells(unpack, kinds, rows))


def read_cells(unpack: Unpacker, kinds: tuple[str, ...], rows: Any) -> list[tuple[Any, ...]]:
    """Return rows that the parser has read; raises BadValue for too many values with equal hashes."""
    read = convert_rows(kinds, rows, unpack, unpack.limits)
    for place, kind in enumerate(kinds):
        if kind in ("int", "decimal", "uuid"):
            unpack.hashes.add([row[place] for row in read])
    return read


class ErrorForm(msgspec.Struct, frozen=True, kw_only=True):
    """The wire form of an error report, in a response and among its values."""

    code: str
    message: str
    model: str | None = None
    remote_name: str | None = None
    data: Any = None
    node: int | None = None
    traceback: str | None = None


def read_error(unpack: Unpacker, form: ErrorForm) -> ErrorReport:
    """Convert a form to its report."""
    return ErrorReport(
        code=form.code,
        message=form.message,
        model=form.model,
        remote_name=form.remote_name,
        data=unpack(form.data),
        node=form.node,
        traceback=form.traceback,
    )


def _read_error_value(unpack: Unpacker, value: Any) -> ErrorReport:
    return read_error(unpack, msgspec.convert(value, ErrorForm))


def _header(unpack: Unpacker, names: Any, types: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    columns, kinds = unpack.names(names), unpack.names(types)
    if len(columns) != len(kinds):
        raise BadValue("Rows have one type for each column of their header.")
    return columns, kinds


#: The reader of each tag. A test compares the tags with ``values.PACKERS``.
TAGS: dict[str, Callable[[Unpacker, Any], Any]] = {
    "$ref": lambda unpack, value: unpack.node(value),
    "$int": _read_int,
    "$float": _read_float,
    "$decimal": _read_decimal,
    "$datetime": lambda unpack, value: as_naive(
        _zoned(value, _DATE_TIME, "$datetime", datetime.datetime.fromisoformat), unpack.naive_zone
    ),
    "$date": lambda unpack, value: datetime.date.fromisoformat(_match(value, _DATE_ONLY, "$date")),
    "$time": lambda unpack, value: _zoned(value, _TIME_ONLY, "$time", datetime.time.fromisoformat),
    "$duration": lambda unpack, value: _duration(value, "$duration"),
    "$offset": lambda unpack, value: datetime.timezone(_duration(value, "$offset")),
    "$zone": lambda unpack, value: _zone(value),
    "$uuid": _read_uuid,
    "$bytes": _read_bytes,
    "$tuple": _read_tuple,
    "$set": lambda unpack, value: set(_read_members(unpack, value, "$set")),
    "$frozenset": lambda unpack, value: frozenset(_read_members(unpack, value, "$frozenset")),
    "$dict": _read_dict,
    "$slice": _read_slice,
    "$expr": _read_expr,
    "$q": _read_condition,
    "$instance": _read_reference,
    "$given": _read_given,
    "$record": _read_record,
    "$table": _read_table,
    "$named": _read_named,
    "$rows": _read_rows,
    "$error": _read_error_value,
}
