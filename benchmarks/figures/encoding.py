"""1,000 rows of eight typed fields to bytes and back."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.harness import Effort, Row, compare, interleave, lane
from benchmarks.stack import Stack

__all__ = ["encoding"]

COUNT = 1000


def encoding(stack: Stack, effort: Effort) -> Iterator[Row]:
    """Our codec, the standard library by hand, and the parser alone as the floor."""
    with stack.apart() as parts:
        driver = parts.driver("benchmarks.lanes.rows")
        lanes = {name: lane(driver, name, count=COUNT) for name in ("ours", "by_hand", "floor")}
        seconds = interleave(lanes, effort.of(rounds=40, block=5, warm_up=5))
    subject = ("1,000 rows of 8 typed fields", seconds["ours"])
    more = {"each": COUNT, "unit": "µs/row", "note": "encode + decode"}
    yield compare("encoding", subject, ("json, types restored by hand", seconds["by_hand"]), goal=0.5, **more)
    yield compare("encoding", subject, ("msgspec alone, unchecked", seconds["floor"]), **more)
