"""Interleaved measurements, and the rows of the table that come from them."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.driver import Driver

__all__ = ["Effort", "Lane", "Row", "Skipped", "Summary", "compare", "interleave", "lane"]

#: Runs a lane so many times; the seconds of each.
Lane = Callable[[int], list[float]]


def lane(driver: Driver, name: str, **args: Any) -> Lane:
    """The lane ``name`` of a driver's process, for `interleave`."""
    return functools.partial(_times, driver, name, args)


def _times(driver: Driver, name: str, args: dict[str, Any], count: int) -> list[float]:
    return driver.times(name, count, **args)


class Skipped(Exception):
    """A figure cannot be measured on this machine; the text says why."""


@dataclass(frozen=True)
class Effort:
    """How long to measure: ``rounds`` in which every lane runs ``block`` times, but no more than ``seconds``."""

    rounds: int = 40
    block: int = 10
    seconds: float = 40.0
    warm_up: int = 20

    @property
    def quick(self) -> bool:
        """Whether only the harness is to be shown."""
        return self.rounds < Effort.rounds

    def of(self, *, rounds: int, block: int, warm_up: int) -> Effort:
        """For slower lanes: fewer runs, in the same proportion to a full or a quick run."""
        share = self.rounds / Effort.rounds
        return Effort(max(2, round(rounds * share)), block, self.seconds, max(1, round(warm_up * share)))


QUICK = Effort(rounds=4, block=5, seconds=2.0, warm_up=5)


@dataclass(frozen=True)
class Summary:
    """Median, 95th percentile, and 10th, which other work on the machine moves least; in seconds."""

    median: float
    p95: float
    p10: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Summary:
        ordered = sorted(seconds)
        last = len(ordered) - 1
        return cls(
            statistics.median(ordered), ordered[min(last, int(len(ordered) * 0.95))], ordered[len(ordered) // 10]
        )


@dataclass(frozen=True)
class Row:
    """One line of the table: ours beside its reference.

    ``ratio`` is that of the medians, ``pairwise`` the median of the ratios of runs that stood side by side. Where
    something is allowed for ("plus the SQL"), both are without ``allowed`` (seconds), and ``allowance`` names it.
    ``each`` divides the times: a row of 1,000 nodes shows the time of one. A reference that was stopped at a limit
    has ``capped`` set: it took at least that long, and the ratio is an upper bound.
    """

    figure: str
    ours: str
    reference: str
    subject: Summary
    beside: Summary
    ratio: float
    pairwise: float
    n: int
    goal: float | None = None
    each: int = 1
    unit: str = "ms"
    allowance: str = ""
    allowed: float = 0.0
    capped: bool = False
    note: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        return None if self.goal is None else self.ratio <= self.goal

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Row:
        values = {name: value for name, value in values.items() if name != "met"}
        for name in ("subject", "beside"):
            values[name] = Summary(**values[name])
        return cls(**values)


def interleave(lanes: Mapping[str, Lane], effort: Effort) -> dict[str, list[float]]:
    """The seconds of each lane's runs, A B C, then B C A, and so on, after a warm-up of all."""
    names = list(lanes)
    for name in names:
        lanes[name](effort.warm_up)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    deadline = time.monotonic() + effort.seconds
    for number in range(effort.rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            seconds[name] += lanes[name](effort.block)
        if time.monotonic() > deadline:
            break
    return seconds


def compare(
    figure: str,
    subject: tuple[str, Sequence[float]],
    reference: tuple[str, Sequence[float]],
    *,
    allowed: tuple[str, Sequence[float]] | None = None,
    **more: Any,
) -> Row:
    """The row of a subject beside its reference, whose runs stood side by side; ``more`` are fields of the Row."""
    (ours, a), (theirs, b) = subject, reference
    off = statistics.median(allowed[1]) if allowed else 0.0
    pairs = [(x - off) / y for x, y in zip(a, b, strict=False)]
    return Row(
        figure,
        ours,
        theirs,
        Summary.of(a),
        Summary.of(b),
        ratio=(statistics.median(a) - off) / statistics.median(b),
        pairwise=statistics.median(pairs),
        n=min(len(a), len(b)),
        allowance=allowed[0] if allowed else "",
        allowed=off,
        **more,
    )
