"""Building graphs with our Delayed beside dask.delayed."""

from __future__ import annotations

import importlib.metadata
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.driver import Driver, TooSlow
from benchmarks.harness import Effort, Lane, Row, Skipped, Summary, compare, interleave, lane
from benchmarks.stack import Stack

__all__ = ["graphs", "growth", "memory", "planning"]

SHAPES = ("chain", "fan-in", "mesh")
SIZES = (1_000, 10_000, 100_000)
#: A reference that takes longer is stopped, and larger sizes of the shape are not tried.
LIMIT = 20.0
GOAL = 0.1
#: Seconds.
PLANNING_GOAL = 0.0002


@dataclass(frozen=True)
class _Kind:
    """What is timed of a graph; ``lane`` is empty where each shape has a lane of its own."""

    figure: str
    reference: str
    lane: str = ""


BUILT = _Kind("graph building", "dask.delayed")
SENT = _Kind("graph to bytes", "dask.delayed + optimize", "sent")


@dataclass(frozen=True)
class _Graph:
    kind: _Kind
    shape: str
    size: int

    @property
    def name(self) -> str:
        return f"{self.shape} of {self.size:,}"

    @property
    def lane(self) -> str:
        return self.kind.lane or self.shape

    def args(self, size: int | None = None) -> dict[str, Any]:
        given: dict[str, Any] = {"shape": self.shape} if self.kind.lane else {}
        return {**given, "nodes": size or self.size}

    @property
    def fields(self) -> dict[str, Any]:
        """What each row of such a graph says."""
        extra = {"shape": self.shape, "nodes": self.size}
        return {"goal": GOAL, "each": self.size, "unit": "µs/node", "extra": extra}


def graphs(stack: Stack, effort: Effort) -> Iterator[Row]:
    """Each shape at each size, in the same user's code."""
    _need_dask()
    sizes, kinds = (SIZES[:1], (SENT,)) if effort.quick else (SIZES, (BUILT, SENT))
    with stack.apart() as parts:
        ours, dask = _driver(parts, "ours"), _driver(parts, "dask")
        for kind in kinds:
            for shape in SHAPES:
                slow = False
                for size in sizes:
                    one = _Graph(kind, shape, size)
                    if slow:
                        yield _capped(one, ours, "not tried: the size before took as long")
                        continue
                    row = _side_by_side(one, ours, dask, effort)
                    slow = row.capped
                    yield row


def planning(stack: Stack, effort: Effort) -> Iterator[Row]:
    """What stands between a small graph that is built and its message."""
    _need_dask()
    with stack.apart() as parts:
        drivers = {"ours": _driver(parts, "ours"), "dask": _driver(parts, "dask")}
        lanes = {name: lane(driver, "planned", shape="chain", nodes=10) for name, driver in drivers.items()}
        seconds = interleave(lanes, effort)
    ours = ("a graph of 10 nodes, planned and encoded", seconds["ours"])
    met = "met" if statistics.median(seconds["ours"]) < PLANNING_GOAL else "missed"
    note = f"goal: under {PLANNING_GOAL * 1000:g} ms: {met}; {_version()}"
    yield compare("planning", ours, ("dask.optimize", seconds["dask"]), note=note)


def growth(stack: Stack, effort: Effort) -> Iterator[Row]:
    """A node of a large graph beside a node of a small one: linear growth."""
    large = SIZES[-1] if not effort.quick else SIZES[-2]
    with stack.apart() as parts:
        ours = _driver(parts, "ours")
        for shape in SHAPES:
            runs = large // SIZES[0]
            lanes = {"large": lane(ours, shape, nodes=large), "small": _typical(ours, shape)}
            seconds = interleave(lanes, Effort(rounds=8, block=1, seconds=effort.seconds / 4, warm_up=1))
            small = [value * runs for value in seconds["small"]]
            names = f"{shape}: {large:,} nodes", f"{runs} times one of {SIZES[0]:,}"
            more = {"goal": 1.5, "each": large, "unit": "µs/node"}
            yield compare("graph growth", (names[0], seconds["large"]), (names[1], small), **more)


def _typical(driver: Driver, shape: str) -> Lane:
    """The median of twenty small graphs as one run: alone, each is too short to be timed well."""
    return lambda count: [statistics.median(driver.times(shape, 20, nodes=SIZES[0])) for _ in range(count)]


def memory(stack: Stack, effort: Effort) -> Iterator[Row]:
    """The most memory that Python holds while it builds one graph, in bytes a node."""
    _need_dask()
    sizes = SIZES[:1] if effort.quick else SIZES[:2]
    for shape in SHAPES:
        for size in sizes:
            peaks: dict[str, list[float]] = {"ours": [], "dask": []}
            try:
                for name, found in peaks.items():
                    with Driver("benchmarks.lanes.graphs", {"BENCH_GRAPHS": name}) as driver:
                        driver.times(shape, 1, nodes=100)
                        found.append(float(driver.peak(shape, nodes=size, timeout=6 * LIMIT)))
            except TooSlow:
                break
            subject, reference = (f"{shape} of {size:,}", peaks["ours"]), ("dask.delayed", peaks["dask"])
            more = {"each": size, "unit": "bytes/node", "note": _version()}
            yield compare("graph memory", subject, reference, **more)


def _side_by_side(one: _Graph, ours: Driver, dask: Driver, effort: Effort) -> Row:
    try:
        dask.times(one.lane, 1, **one.args(100))
        once = dask.times(one.lane, 1, timeout=LIMIT, **one.args())[0]
    except TooSlow:
        return _capped(one, ours, f"{one.kind.reference} was stopped after {LIMIT:g} s")
    rounds = max(1, min(10, int(effort.seconds / 2 / once)))
    effort = Effort(rounds=rounds, block=1, seconds=effort.seconds, warm_up=1 if once < 2 else 0)
    lanes = {
        "ours": lane(ours, one.lane, **one.args()),
        "dask": lambda count: dask.times(one.lane, count, timeout=10 * LIMIT, **one.args()) if count else [],
    }
    seconds = interleave(lanes, effort)
    subject, reference = (one.name, seconds["ours"]), (one.kind.reference, seconds["dask"])
    return compare(one.kind.figure, subject, reference, note=_version(), **one.fields)


def _capped(one: _Graph, ours: Driver, why: str) -> Row:
    """A row whose reference took at least the limit."""
    ours.times(one.lane, 1, **one.args())
    seconds = ours.times(one.lane, 5, **one.args())
    limit = Summary(LIMIT, LIMIT, LIMIT)
    ratio = statistics.median(seconds) / LIMIT
    subject = Summary.of(seconds)
    more: dict[str, Any] = {"n": len(seconds), "capped": True, "note": why, **one.fields}
    return Row(one.kind.figure, one.name, one.kind.reference, subject, limit, ratio, ratio, **more)


def _driver(stack: Stack, name: str) -> Driver:
    return stack.driver("benchmarks.lanes.graphs", {"BENCH_GRAPHS": name})


def _version() -> str:
    return f"dask {importlib.metadata.version('dask')}"


def _need_dask() -> None:
    try:
        import dask  # noqa: F401
    except ImportError:
        raise Skipped("dask is not installed: it comes with the extra `bench`.") from None
