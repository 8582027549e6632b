"""``python -m benchmarks [NAME...] [--quick]``: measure, print, and keep the figures."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from benchmarks import report
from benchmarks.figures import awaits, bulk, canvas, encoding, graphs, many, observing, round_trip, steps
from benchmarks.harness import QUICK, Effort, Row, Skipped
from benchmarks.stack import Stack

Figure = Callable[[Stack, Effort], Iterator[Row]]

FIGURES: dict[str, Figure] = {
    "round-trip": round_trip.on_redis,
    "rabbitmq": round_trip.on_rabbitmq,
    "pools": round_trip.pools,
    "steps": steps.steps,
    "many": many.many,
    "bulk": bulk.beside_orm,
    "peer": bulk.beside_peer,
    "encoding": encoding.encoding,
    "observing": observing.observing,
    "planning": graphs.planning,
    "canvas": canvas.canvas,
    "awaits": awaits.awaits,
    "growth": graphs.growth,
    "graphs": graphs.graphs,
    "memory": graphs.memory,
}
#: What a quick run leaves out: an environment to install, a broker that may be missing, more of the same.
NOT_QUICK = {"rabbitmq", "pools", "peer", "awaits", "memory"}


def main() -> int:
    options = _options()
    console = Console()
    names = options.names or [name for name in FIGURES if not (options.quick and name in NOT_QUICK)]
    effort = QUICK if options.quick else Effort()
    rows: dict[str, list[Row]] = {}
    missing: dict[str, str] = {}
    failed = False
    with Stack() as stack:
        for name in names:
            console.print(f"[dim]{name}: {(FIGURES[name].__doc__ or '').splitlines()[0]}[/dim]")
            started = time.monotonic()
            try:
                rows[name] = list(FIGURES[name](stack, effort))
            except Skipped as reason:
                missing[name] = str(reason)
            except Exception as error:  # noqa: BLE001 (told below and by the exit code; the other figures go on)
                missing[name] = f"failed: {str(error).strip().splitlines()[-1]}"
                failed = True
                console.print(traceback.format_exc(), markup=False, highlight=False)
            console.print(f"[dim]  {time.monotonic() - started:.0f} s[/dim]")
    report.show(console, rows, missing)
    if options.json:
        report.save(options.json, rows, missing)
    elif not options.quick:
        report.keep(rows, missing)
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Every figure beside its reference.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(FIGURES)}")
    parser.add_argument("--quick", action="store_true", help="a short run that shows that the harness works")
    parser.add_argument("--json", type=Path, help="write the figures to this file, and change no other")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in FIGURES]
    if unknown:
        parser.error(f"no figure is called {', '.join(unknown)}; there are {', '.join(FIGURES)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
