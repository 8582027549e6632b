"""One storm from its beginning to its end, and its counts."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass

from tests.chaos.books import Books, balance
from tests.chaos.scene import Footprint, Plan, scene
from tests.chaos.weather import Weather

__all__ = ["Outcome", "storm"]

#: Permitted growth of a worker: pipes that replaced processes inherit (8 each), and the heap of a busy hour.
MORE_FILES, MORE_CONNECTIONS, MORE_MEMORY = 24, 6, 30


@dataclass
class Outcome:
    """The events, the result of the books, and the resources of the worker that survived."""

    seconds: float
    happened: Counter[str]
    failed: list[str]
    books: Books
    before: Footprint
    after: Footprint

    @property
    def wrong(self) -> list[str]:
        """All that should not be; empty is good."""
        found = [*self.books.wrong, *self.failed]
        before, after = asdict(self.before), asdict(self.after)
        allowed = {"files": MORE_FILES, "connections": MORE_CONNECTIONS, "memory": MORE_MEMORY}
        for name, value in after.items():
            if value > before[name] + allowed.get(name, 0):
                found.append(f"the worker has {value} {name}, and had {before[name]}")
        return found

    def told(self) -> str:
        """The counts, for people."""
        books = self.books
        lines = [
            f"{books.calls} calls in {self.seconds:.0f} s; the latest ended {books.latest:.2f} s after its time-out",
            f"  by state      {_counts(books.by_state)}; tried again under their key: {books.tried_again}",
            f"  errors        {_counts(books.errors)}",
            f"  asked for     {_counts(books.asked)}",
            f"  rows {books.rows}, additions {books.added}, ledger {_counts(books.ledger)}",
            f"  what happened {_counts(self.happened)}",
            f"  worker before {self.before}",
            f"  worker after  {self.after}",
        ]
        return "\n".join([*lines, *(f"  WRONG: {line}" for line in self.wrong)])


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common()) or "none"


def storm(plan: Plan, seconds: float) -> Outcome:
    """Make calls for ``seconds`` while things break; raises `servers.Missing` where a program is not installed."""
    with scene(plan) as stage:
        before = stage.footprint()
        begun = time.monotonic()
        stage.start_clients()
        with Weather(stage, plan.seed) as weather:
            time.sleep(seconds)
        stage.stop_clients()
        lasted = time.monotonic() - begun
        stage.settle()
        books = balance(stage)
        after = stage.footprint()
        return Outcome(lasted, weather.happened, weather.failed, books, before, after)
