"""Two hundred calls awaited at once, beside two hundred in a row."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.harness import Effort, Row, compare, interleave, lane
from benchmarks.stack import Stack

__all__ = ["awaits"]


def awaits(stack: Stack, effort: Effort) -> Iterator[Row]:
    """await Customer.objects.aget(pk=...), each a message of its own."""
    with stack.apart() as parts:
        ours = parts.ours(stack.redis, stack.redis)
        if ours.show("awaits_at_once") != ours.show("awaits_in_a_row"):
            raise ValueError("The calls in flight and those in a row give different answers.")
        lanes = {name: lane(ours, name) for name in ("awaits_at_once", "awaits_in_a_row")}
        seconds = interleave(lanes, effort.of(rounds=12, block=1, warm_up=1))
    subject, reference = seconds["awaits_at_once"], seconds["awaits_in_a_row"]
    yield compare("asyncio", ("200 awaits in flight at once", subject), ("200 awaits in a row", reference))
