"""1,000 rows of eight typed fields to bytes and back, in four ways."""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks.serve import serve
from django_rpc.graph.values import RowSet
from django_rpc.wire.codec import decode_response, encode_response
from django_rpc.wire.messages import Response

COLUMNS = ("id", "name", "email", "active", "joined", "seen", "credit", "token")
UTC = datetime.UTC


def make(count: int) -> list[tuple[Any, ...]]:
    """The rows; always the same."""
    day, moment = datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 1, 8, tzinfo=UTC)
    return [
        (
            number,
            f"Anna Adler {number}",
            f"anna.adler.{number}@example.com",
            number % 9 > 0,
            day + datetime.timedelta(days=number % 600),
            moment + datetime.timedelta(seconds=number * 977, microseconds=number),
            decimal.Decimal(number * 37) / 100,
            uuid.UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128),
        )
        for number in range(1, count + 1)
    ]


def ours(count: int) -> Callable[[], Any]:
    """The wire codec as it is: a whole response."""
    rows = make(count)

    def run() -> Any:
        data = encode_response(Response(id="bench", outputs=(RowSet(COLUMNS, rows),)))
        return decode_response(data).outputs[0].rows

    return _checked(run, rows)


def by_hand(count: int) -> Callable[[], Any]:
    """The standard library's json with tuples under a header, and the types restored column by column."""
    rows = make(count)
    date, moment = datetime.date.fromisoformat, datetime.datetime.fromisoformat

    def run() -> Any:
        data = json.dumps({"columns": COLUMNS, "rows": rows}, default=str).encode()
        return [
            (a, b, c, d, date(e), moment(f), decimal.Decimal(g), uuid.UUID(h))
            for a, b, c, d, e, f, g, h in json.loads(data)["rows"]
        ]

    return _checked(run, rows)


def floor(count: int) -> Callable[[], Any]:
    """msgspec alone, whose decoder knows the types beforehand; no checks: nothing could be faster."""
    rows = make(count)
    kinds = (int, str, str, bool, datetime.date, datetime.datetime, decimal.Decimal, uuid.UUID)
    encode = msgspec.json.Encoder().encode
    decode = msgspec.json.Decoder(list[tuple[kinds]]).decode  # type: ignore[valid-type]
    return _checked(lambda: decode(encode(rows)), rows)


def _checked(run: Callable[[], Any], rows: list[tuple[Any, ...]]) -> Callable[[], Any]:
    """Refuse a lane that does not bring back what went in."""
    if list(run()) != rows:
        raise ValueError("The rows that came back are not those that went in.")
    return run


if __name__ == "__main__":
    serve({"ours": ours, "by_hand": by_hand, "floor": floor})
