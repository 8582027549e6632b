"""Values for every field of the zoo's ``Everything``: usual values, empty values and extremes."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db.models.fields.files import FieldFile

UTC = dt.timezone.utc  # noqa: UP017
WORDS = "žluťoučký \U0001f98a 'quoted\" \\ back%slash _\t\r\n— \u0627\u0644"

VALUES = {
    "char": ["", "plain", WORDS, " padded "],
    "text": ["", "a" * 100_000, WORDS],
    "slug": ["a-slug_1"],
    "email": ["someone@example.org"],
    "url": ["https://example.org/?a=1&b=%20#c"],
    "nullable_char": [None, "", "2020-01-01", "null", "12"],
    "integer": [None, 0, -1, 2**30 - 1, -(2**30)],  # a generated column has its double
    "small_integer": [None, 0, 2**15 - 1, -(2**15)],
    "big_integer": [None, 2**53 + 1, 2**63 - 1, -(2**63)],
    "positive_integer": [None, 0, 2**31 - 1],
    "positive_small_integer": [None, 0, 2**15 - 1],
    "positive_big_integer": [None, 0, 2**63 - 1],
    "level": [None, 1, 2],
    "float": [None, 0.0, -0.5, 0.1, 1e300, 5e-300, 1 / 3],
    "decimal": [None, Decimal(0), Decimal("0.000001"), Decimal("-12345678.500000"), Decimal("1E+3")],
    "boolean": [True, False],
    "nullable_boolean": [None, True, False],
    "date": [None, dt.date(2024, 2, 29), dt.date(1000, 1, 1), dt.date(9999, 12, 31)],
    "datetime": [
        None,
        dt.datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC),
        dt.datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("America/New_York")),
        dt.datetime(1999, 12, 31, 23, 30, 0, 1, tzinfo=dt.timezone(dt.timedelta(hours=-3, minutes=-30))),
    ],
    "time": [None, dt.time(0), dt.time(23, 59, 59, 999999), dt.time(12, 0, 0, 1)],
    "duration": [
        None,
        dt.timedelta(0),
        dt.timedelta(days=-3, seconds=7, microseconds=1),
        dt.timedelta(days=36500, microseconds=999999),
        dt.timedelta(microseconds=-1),
    ],
    "uuid": [None, uuid.UUID(int=0), uuid.UUID("12345678-1234-5678-1234-567812345678")],
    "binary": [None, b"", b"\x00\x01\xff\x00", bytes(range(256)) * 10],
    "json": [
        None,
        {},
        [],
        "text",
        "",
        0,
        1.5,
        True,
        [1, [2, [3, {"deep": [None, False, ""]}]]],
        {"$date": "2020-01-01", "a": None, "ключ": WORDS, "": {"n": 2**53}},
    ],
    "ip": [None, "192.0.2.1", "2001:db8::1"],
    "file_path": [None, "apps.py"],
    "file": [None, "zoo/a file.txt"],
    "image": [None, "zoo/picture.png"],
}

CASES = [(name, value) for name, values in VALUES.items() for value in values]


def LOOKED_UP(name, value):
    return value is not None and name not in ("file_path", "image")


def same(found, expected):
    """Equal, and of the same type at every depth."""
    if isinstance(found, memoryview):
        found = bytes(found)
    if isinstance(expected, memoryview):
        expected = bytes(expected)
    if isinstance(expected, FieldFile):
        assert type(found) in (type(expected), str, type(None))  # values() returns the name
        assert (getattr(found, "name", found) or "") == (expected.name or "")  # update() keeps NULL, save() does not
        return
    assert type(found) is type(expected), (found, expected)
    assert found == expected
    if isinstance(expected, Decimal):
        assert found.as_tuple() == expected.as_tuple()
    if isinstance(expected, float):
        assert repr(found) == repr(expected)
    if isinstance(expected, dt.datetime):
        assert found.utcoffset() == expected.utcoffset()
        assert found.tzinfo == expected.tzinfo
    if isinstance(expected, dict):
        for key in expected:
            same(found[key], expected[key])
    if isinstance(expected, list):
        for one, other in zip(found, expected, strict=True):
            same(one, other)


def stored(local, name, value):
    """Return ``value`` after the service's model has written and read it."""
    row = local.Everything.objects.create(**{name: value})
    return getattr(local.Everything.objects.get(pk=row.pk), name)
