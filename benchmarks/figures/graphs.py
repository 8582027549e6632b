"""Building graphs with our Delayed beside dask.delayed."""

from __future__ import annotations

import importlib.metadata
import statistics
from collections.abc import Iterator

from benchmarks.driver import Driver, TooSlow
from benchmarks.harness import Effort, Lane, Row, Skipped, Summary, compare, interleave, lane
from benchmarks.stack import Stack

__all__ = ["graphs", "growth", "memory"]

SHAPES = ("chain", "fan-in", "mesh")
SIZES = (1_000, 10_000, 100_000)
#: A reference that takes longer is stopped, and larger sizes of the shape are not tried.
LIMIT = 20.0
GOAL = 0.1


def graphs(stack: Stack, effort: Effort) -> Iterator[Row]:
    """Each shape at each size, in the same user's code."""
    _need_dask()
    sizes = SIZES if not effort.quick else SIZES[:1]
    with stack.apart() as parts:
        ours, dask = _driver(parts, "ours"), _driver(parts, "dask")
        for shape in SHAPES:
            slow = False
            for size in sizes:
                if slow:
                    yield _capped(shape, size, ours, "not tried: the size before took as long")
                    continue
                row = _side_by_side(shape, size, ours, dask, effort)
                slow = row.capped
                yield row


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


def _side_by_side(shape: str, size: int, ours: Driver, dask: Driver, effort: Effort) -> Row:
    try:
        dask.times(shape, 1, nodes=100)
        once = dask.times(shape, 1, timeout=LIMIT, nodes=size)[0]
    except TooSlow:
        return _capped(shape, size, ours, f"dask.delayed was stopped after {LIMIT:g} s")
    rounds = max(1, min(10, int(effort.seconds / 2 / once)))
    effort = Effort(rounds=rounds, block=1, seconds=effort.seconds, warm_up=1 if once < 2 else 0)
    lanes = {
        "ours": lane(ours, shape, nodes=size),
        "dask": lambda count: dask.times(shape, count, timeout=10 * LIMIT, nodes=size) if count else [],
    }
    seconds = interleave(lanes, effort)
    more = {"goal": GOAL, "each": size, "unit": "µs/node", "note": _version(), "extra": {"shape": shape, "nodes": size}}
    return compare(
        "graph building", (f"{shape} of {size:,}", seconds["ours"]), ("dask.delayed", seconds["dask"]), **more
    )


def _capped(shape: str, size: int, ours: Driver, why: str) -> Row:
    """A row whose reference took at least the limit."""
    ours.times(shape, 1, nodes=size)
    seconds = ours.times(shape, 5, nodes=size)
    limit = Summary(LIMIT, LIMIT, LIMIT)
    ratio = statistics.median(seconds) / LIMIT
    return Row(
        "graph building",
        f"{shape} of {size:,}",
        "dask.delayed",
        Summary.of(seconds),
        limit,
        ratio,
        ratio,
        n=len(seconds),
        goal=GOAL,
        each=size,
        unit="µs/node",
        capped=True,
        note=why,
        extra={"shape": shape, "nodes": size},
    )


def _driver(stack: Stack, name: str) -> Driver:
    return stack.driver("benchmarks.lanes.graphs", {"BENCH_GRAPHS": name})


def _version() -> str:
    return f"dask {importlib.metadata.version('dask')}"


def _need_dask() -> None:
    try:
        import dask  # noqa: F401
    except ImportError:
        raise Skipped("dask is not installed: it comes with the extra `bench`.") from None
