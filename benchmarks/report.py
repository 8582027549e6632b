"""The figures as a table, as JSON, and as a part of ``docs/benchmarks.md``."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.driver import ROOT
from benchmarks.harness import Row

__all__ = ["keep", "save", "show", "table_lines"]

LATEST = ROOT / "benchmarks" / "results" / "latest.json"
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures: written by python -m benchmarks -->", "<!-- end of figures -->"
#: Seconds (or bytes) to the unit of a row.
_SCALE = {"ms": 1e3, "µs/node": 1e6, "µs/message": 1e6, "µs/row": 1e6, "bytes/node": 1.0, "bytes": 1.0}
HEADER = ("figure", "ours", "median (p95)", "reference", "median (p95)", "ratio", "pairs", "goal", "n", "note")

Rows = Mapping[str, list[Row]]


def show(console: Console, rows: Rows, missing: Mapping[str, str]) -> None:
    """Print the table, and what could not be measured."""
    table = Table(*HEADER)
    for row in _all(rows):
        style = {True: "green", False: "red", None: ""}[row.met]
        table.add_row(*_cells(row), style=style)
    console.print(table)
    for name, reason in missing.items():
        console.print(f"{name} was not measured: {reason}", markup=False)


def save(path: Path, rows: Rows, missing: Mapping[str, str]) -> dict[str, Any]:
    """Write the figures to ``path``; returns what was written."""
    content = {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": _machine(),
        "figures": {name: [row.as_dict() for row in found] for name, found in rows.items()},
        "missing": dict(missing),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return content


def keep(rows: Rows, missing: Mapping[str, str]) -> None:
    """Put the figures among the latest ones, and renew the page and its plots from all of them."""
    from benchmarks import plot  # matplotlib is not there in a quick run

    before: dict[str, Any] = json.loads(LATEST.read_text()) if LATEST.exists() else {"figures": {}, "missing": {}}
    old = {name: [Row.from_dict(row) for row in found] for name, found in before["figures"].items()}
    absent = {name: why for name, why in {**before["missing"], **missing}.items() if name not in rows}
    merged = {**{name: found for name, found in old.items() if name not in missing}, **rows}
    merged = {name: merged[name] for name in _order(merged)}
    content = save(LATEST, merged, absent)
    text = PAGE.read_text()
    lines = [f"Measured on {content['at'][:10]}: {content['machine']}.", "", *table_lines(merged)]
    lines += [f"\n`{name}` was not measured: {why}" for name, why in absent.items()]
    inner = "\n".join(lines)
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    PAGE.write_text(pattern.sub(lambda _: f"{BEGIN}\n\n{inner}\n\n{END}", text))
    plot.draw(merged, PAGE.parent)


def table_lines(rows: Rows) -> list[str]:
    """The table in Markdown."""
    lines = [_line(HEADER), _line(["---"] * len(HEADER))]
    return lines + [_line(_cells(row, mark=True)) for row in _all(rows)]


def _order(rows: Mapping[str, Any]) -> list[str]:
    from benchmarks.__main__ import FIGURES

    return [name for name in FIGURES if name in rows]


def _all(rows: Rows) -> list[Row]:
    return [row for found in rows.values() for row in found]


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Row, mark: bool = False) -> list[str]:
    scale = _SCALE[row.unit] / row.each
    verdict = {True: " met", False: " **missed**", None: ""}[row.met] if mark else ""
    goal = "" if row.goal is None else f"≤ {row.goal:g}{verdict}"
    least = "≥ " if row.capped else ""
    note = row.note
    if row.allowance:
        note = f"{row.allowance} taken off: {_number(row.allowed * scale)} {row.unit}" + (f"; {note}" if note else "")
    return [
        row.figure,
        row.ours,
        f"{_number(row.subject.median * scale)} ({_number(row.subject.p95 * scale)}) {row.unit}",
        row.reference,
        f"{least}{_number(row.beside.median * scale)} ({_number(row.beside.p95 * scale)}) {row.unit}",
        f"{'≤ ' if row.capped else ''}{_number(row.ratio)}",
        _number(row.pairwise),
        goal,
        str(row.n),
        note,
    ]


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.01 else f"{value:.2g}"


def _machine() -> str:
    names = ("celery", "kombu", "redis", "Django", "msgspec")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {versions}"
