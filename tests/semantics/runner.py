"""``python -m tests.semantics [--programs N] [--seed S] [--jobs J] [--show SEED] [--live N]``: run random programs.

The exit status is 1 where a program has two results.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from typing import Any

__all__ = ["main", "prepare", "run_seeds"]

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


def run_seeds(job: tuple[int, int, int, float]) -> tuple[int, list[str]]:
    """Run the programs ``first, first + step, ...`` below ``last``; return their number and the differences."""
    first, last, step, until = job
    prepare()
    from tests.semantics.programs import Program, compare, shrink

    count, differences = 0, []
    for seed in range(first, last, step):
        if until and time.monotonic() > until:
            break
        found = compare(Program.of(seed))
        count += 1
        if found is not None:
            differences.append(str(shrink(found)))
            print(differences[-1], flush=True)
    return count, differences


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.semantics", description=__doc__)
    parser.add_argument("--programs", type=int, default=1000, help="programs in this process's database")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first program")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--seconds", type=float, default=0, help="stop after this time")
    parser.add_argument("--show", type=int, help="run the program of one seed, and print its text")
    parser.add_argument("--live", type=int, default=0, help="programs against a real worker in another time zone")
    options = parser.parse_args()
    if options.show is not None:
        return show(options.show)
    started = time.monotonic()
    until = started + options.seconds if options.seconds else 0.0
    last = options.seed + options.programs
    jobs = [(options.seed + n, last, options.jobs, until) for n in range(options.jobs)]
    count, differences = 0, 0
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for number, found in pool.imap_unordered(run_seeds, jobs if options.programs else []):
            count += number
            differences += len(found)
    if count:
        report(count, differences, time.monotonic() - started)
    if options.live:
        differences += _live(options)
    return 1 if differences else 0


def _live(options: Any) -> int:
    from tests.semantics.live import run_live

    started = time.monotonic()
    count, differences = run_live(options.seed, options.live)
    report(count, differences, time.monotonic() - started, "live ")
    return differences


def report(count: int, differences: int, seconds: float, kind: str = "") -> None:
    """Print the number of programs, the rate, and the number of differences."""
    rate = count / seconds
    print(f"{count:,} {kind}programs in {seconds:.0f} s ({rate:.0f} a second): {differences} differences", flush=True)


def show(seed: int) -> int:
    """Print the program of a seed, and both results where they differ."""
    prepare()
    from tests.semantics.programs import Program, compare

    program = Program.of(seed)
    print(f"{program.kind}, {program.way}\n" + "\n".join(program.lines))
    found = compare(program)
    print("equal" if found is None else found)
    return 0 if found is None else 1
