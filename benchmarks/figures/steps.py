"""Ten dependent steps in one graph beside ten calls, and beside one."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.harness import Effort, Row, compare, interleave, lane
from benchmarks.stack import Stack

__all__ = ["steps"]


def steps(stack: Stack, effort: Effort) -> Iterator[Row]:
    """Customer.objects.get(pk=customer.id + 1), ten times over."""
    with stack.apart() as parts:
        ours, orm = parts.ours(stack.redis, stack.redis), parts.orm()
        answers = {ours.show("calls"), ours.show("graph"), orm.show("steps")}
        if len(answers) != 1:
            raise ValueError(f"The ten steps do not lead to the same customer: {answers}")
        lanes = {"graph": lane(ours, "graph"), "one": lane(ours, "get"), "calls": lane(ours, "calls")}
        seconds = interleave({**lanes, "orm": lane(orm, "steps")}, effort.of(rounds=25, block=4, warm_up=4))
    graph = ("10 dependent steps, one graph", seconds["graph"])
    yield compare("dependent steps", graph, ("the same as 10 calls", seconds["calls"]), goal=0.2)
    sql = ("the local ORM's time for the 10 steps", seconds["orm"])
    yield compare("dependent steps", graph, ("one call (a get)", seconds["one"]), goal=1.5, allowed=sql)
