"""Command line of the conformance tests: run test apps of Django, and print a report.

``python -m tests.conformance [--write] [--baseline] [--jobs N] [--records FOLDER] [--list] LABEL...``

Without a label, all apps of the suite that touch the ORM through models are run.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.conformance import report
from tests.conformance.apps import ALL, SUBSET
from tests.conformance.results import App, judge
from tests.conformance.source import SourceUnavailable, django_tests

__all__ = ["main", "run_apps"]

ROOT = Path(__file__).parents[2]
TIMEOUT = 900


def run_apps(labels: list[str], jobs: int | None = None, records: Path | None = None) -> list[App]:
    """Run each app twice, ``jobs`` processes at once, and return the apps in the order of ``labels``.

    The folder ``records`` keeps the record of each run. A run with a record there is not repeated.
    """
    django_tests()
    with (
        tempfile.TemporaryDirectory() as scratch,
        concurrent.futures.ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool,
    ):
        folder = records or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        pending = [
            (label, [pool.submit(_run, kind, label, folder) for kind in ("plain", "mirror")]) for label in labels
        ]
        apps = []
        for label, (control, mirror) in pending:
            apps.append(judge(label, control.result(), mirror.result()))
            print(f"{label}: {report.summary(apps[-1])}", file=sys.stderr, flush=True)
        return apps


def _run(kind: str, label: str, folder: Path) -> dict[str, Any] | None:
    output = folder / f"{kind}-{label}.json"
    if output.exists():
        return _record(output)
    command = [sys.executable, "-W", "ignore", "-m", "tests.conformance.child", kind, label, str(output)]
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        print(f"{label} ({kind}): stopped after {TIMEOUT} s", file=sys.stderr)
        return None
    if not output.exists():
        print(f"{label} ({kind}) died:\n{done.stderr[-2000:]}", file=sys.stderr)
        return None
    return _record(output)


def _record(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("labels", nargs="*", help="test apps of Django")
    parser.add_argument("--jobs", type=int, default=None, help="processes at once (default: one a CPU)")
    parser.add_argument("--records", type=Path, help="folder for the record of each run; no recorded run is repeated")
    parser.add_argument("--write", action="store_true", help="write docs/conformance.md")
    parser.add_argument("--baseline", action="store_true", help="write the known failures of the subset")
    parser.add_argument("--list", action="store_true", help="list every failure and every test left out")
    options = parser.parse_args()
    try:
        labels = list(SUBSET) if options.baseline else options.labels or list(ALL)
        apps = run_apps(labels, options.jobs, options.records)
    except SourceUnavailable as error:
        print(error, file=sys.stderr)
        return 2
    print(report.as_text(apps, every_test=options.list))
    if options.baseline:
        lines = [
            "# Tests of the subset that fail over RPC: docs/conformance.md explains them.",
            *sorted(report.failing(apps)),
        ]
        (Path(__file__).parent / "baseline.txt").write_text("\n".join(lines) + "\n")
    if options.write:
        path = ROOT / "docs" / "conformance.md"
        path.write_text(report.as_markdown(apps))
        print(f"Written: {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
