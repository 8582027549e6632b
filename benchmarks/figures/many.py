"""A hundred reads of one shape in one message, beside a loop of a hundred calls."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.harness import Effort, Row, compare, interleave, lane
from benchmarks.stack import Stack

__all__ = ["many"]

_PAIRS = (
    ("gets_together", "gets", "100 gets, one compute()", "the loop of 100 gets"),
    ("counts_mapped", "counts", "a map that counts for 100 customers", "the loop of 100 counts"),
)


def many(stack: Stack, effort: Effort) -> Iterator[Row]:
    """100 x Customer.objects.get(pk=...), and customers.map(lambda c: Order.objects.filter(customer=c).count())."""
    with stack.apart() as parts:
        ours = parts.ours(stack.redis, stack.redis)
        for together, loop, ours_text, theirs_text in _PAIRS:
            if ours.show(together) != ours.show(loop):
                raise ValueError(f"{ours_text} and {theirs_text} give different answers.")
            lanes = {"together": lane(ours, together), "loop": lane(ours, loop)}
            seconds = interleave(lanes, effort.of(rounds=12, block=2, warm_up=2))
            pair = (ours_text, seconds["together"]), (theirs_text, seconds["loop"])
            yield compare("many reads of one shape", *pair, goal=1 / 30)
