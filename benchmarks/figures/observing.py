"""What observers cost a message: the audit log, spans, metrics, and that nobody observes."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from benchmarks.harness import Effort, Row, compare, interleave, lane
from benchmarks.stack import Stack

__all__ = ["observing"]

#: Seconds a message where nobody observes.
GOAL = 1e-6
MESSAGES = 1000
_WHO = {
    "nobody": "nobody observes",
    "audit": "the audit log, no handler",
    "spans": "spans, not exported",
    "metrics": "metrics",
}


def observing(stack: Stack, effort: Effort) -> Iterator[Row]:
    """A message that writes, as observers see it, beside reading it and writing its answer."""
    for who, words in list(_WHO.items())[: 1 if effort.quick else None]:
        with stack.apart() as parts:
            driver = parts.driver("benchmarks.lanes.observing", _environment(who))
            lanes = {end: lane(driver, end) for end in ("server", "client", "reading")}
            seconds = interleave(lanes, effort.of(rounds=20, block=5, warm_up=5))
        for end in ("server", "client"):
            note = ""
            if who == "nobody":
                met = "met" if statistics.median(seconds[end]) / MESSAGES < GOAL else "missed"
                note = f"goal: under {GOAL * 1e6:g} µs: {met}"
            subject = (f"a message at the {end}: {words}", seconds[end])
            reference = ("reading it, writing its answer", seconds["reading"])
            yield compare("observing", subject, reference, each=MESSAGES, unit="µs/message", note=note)


def _environment(who: str) -> dict[str, str]:
    return {"BENCH_OBSERVE": who, "DJANGO_SETTINGS_MODULE": "django_rpc.demo.both_settings"}
