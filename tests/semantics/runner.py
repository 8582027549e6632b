"""``python -m tests.semantics [--programs N] [--seed S] [--kind KIND] [--jobs J] [--show SEED] [--live N]
[--explained]``.

Run random programs.  The exit status is 1 where a program has two results without an explanation.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.semantics.programs import Difference

__all__ = ["Tally", "main", "prepare", "run_seeds"]

SETTINGS = "django_rpc.demo.both_settings"


def prepare() -> None:
    """Make the tables and rows of an in-memory database of this process."""
    import django
    from django.conf import settings

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", SETTINGS)
    settings.LOGGING_CONFIG = None
    settings.LOGGING = {}
    django.setup()
    import logging

    logging.disable(logging.CRITICAL)
    from django.core.management import call_command

    from tests.semantics.data import fill
    from tests.semantics.sides import sides

    call_command("migrate", run_syncdb=True, verbosity=0, interactive=False)
    fill(sides()[0])


@dataclass
class Tally:
    """The number of programs, of differences, and of explained differences by their reason."""

    show_explained: bool = False
    programs: int = 0
    differences: int = 0
    explained: Counter[str] = field(default_factory=Counter)

    def add(self, difference: Difference | None, where: str = "") -> None:
        """Count a program, and print its difference."""
        self.programs += 1
        if difference is None:
            return
        if difference.reason is None:
            self.differences += 1
        else:
            self.explained[difference.reason] += 1
        if difference.reason is None or self.show_explained:
            print(f"{where}{difference}", flush=True)

    def include(self, other: Tally) -> None:
        """Add the numbers of another process."""
        self.programs += other.programs
        self.differences += other.differences
        self.explained += other.explained

    def report(self, seconds: float, kind: str = "") -> None:
        """Print the numbers and the rate."""
        rate = self.programs / seconds
        print(
            f"{self.programs:,} {kind}programs in {seconds:.0f} s ({rate:.0f} a second): "
            f"{self.differences} differences, and {self.explained.total()} that are explained",
            flush=True,
        )
        for reason, count in self.explained.most_common():
            print(f"{count:>9,} {reason}", flush=True)


def run_seeds(job: tuple[range, str | None, float, bool]) -> Tally:
    """Run the programs of seeds until a time."""
    seeds, kind, until, show_explained = job
    prepare()
    from tests.semantics.programs import Program, compare, shrink

    tally = Tally(show_explained)
    for seed in seeds:
        if until and time.monotonic() > until:
            break
        difference = compare(Program.of(seed, kind))
        tally.add(shrink(difference) if difference is not None and difference.reason is None else difference)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.semantics", description=__doc__)
    parser.add_argument("--programs", type=int, default=1000, help="programs in this process's database")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first program")
    parser.add_argument("--kind", help="kind of all programs, such as wide_map; otherwise the seed chooses it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--seconds", type=float, default=0, help="stop after this time")
    parser.add_argument("--show", type=int, help="run the program of one seed, and print its text")
    parser.add_argument("--live", type=int, default=0, help="programs against a real worker in another time zone")
    parser.add_argument("--explained", action="store_true", help="print the explained differences too")
    options = parser.parse_args()
    if options.show is not None:
        return show(options.show, options.kind)
    started = time.monotonic()
    until = started + options.seconds if options.seconds else 0.0
    seeds = range(options.seed, options.seed + options.programs)
    jobs = [(seeds[n :: options.jobs], options.kind, until, options.explained) for n in range(options.jobs)]
    tally, live = Tally(), Tally(options.explained)
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for other in pool.imap_unordered(run_seeds, jobs if options.programs else []):
            tally.include(other)
    if tally.programs:
        tally.report(time.monotonic() - started)
    if options.live:
        from tests.semantics.live import run_live

        started = time.monotonic()
        run_live(options.seed, options.live, live, options.kind)
        live.report(time.monotonic() - started, "live ")
    return 1 if tally.differences or live.differences else 0


def show(seed: int, kind: str | None) -> int:
    """Print the program of a seed, and both results where they differ."""
    prepare()
    from tests.semantics.programs import Program, compare

    program = Program.of(seed, kind)
    print(f"{program.kind}, {program.way}\n" + "\n".join(program.lines))
    found = compare(program)
    print("equal" if found is None else found)
    return 0 if found is None or found.reason else 1
