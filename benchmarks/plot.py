"""The figures as two plots: ratios with their goals, and the time a node as graphs grow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.ticker import NullFormatter, ScalarFormatter

from benchmarks.harness import Row

__all__ = ["draw"]

GREEN, RED, GREY = "#2a7f62", "#b3413a", "#8a8f98"
mpl.rcParams["svg.hashsalt"] = "django_rpc"  # the same figures make the same file


def draw(rows: Mapping[str, list[Row]], folder: Path) -> None:
    """Write ``benchmarks.svg`` and, where graphs were built, ``benchmarks-graphs.svg``."""
    found = [row for group in rows.values() for row in group]
    ratios = [
        row for row in found if row.figure not in ("graph building", "graph to bytes", "graph growth", "graph memory")
    ]
    if ratios:
        _save(_ratios(ratios), folder / "benchmarks.svg")
    built = [row for row in found if row.figure == "graph building"]
    if built:
        _save(_graphs(built), folder / "benchmarks-graphs.svg")


def _ratios(rows: list[Row]) -> Any:
    figure, axes = plt.subplots(figsize=(9, 0.5 * len(rows) + 1.4))
    for place, row in enumerate(reversed(rows)):
        color = {True: GREEN, False: RED, None: GREY}[row.met]
        axes.barh(place, row.ratio, color=color, height=0.6)
        axes.text(row.ratio * 1.04, place, f"{row.ratio:.2f}", va="center", fontsize=9)
        if row.goal is not None:
            axes.plot([row.goal, row.goal], [place - 0.4, place + 0.4], color="black", linewidth=2)
    axes.axvline(1, color=GREY, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(rows)), [_label(row) for row in reversed(rows)], fontsize=8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(right=max(row.ratio for row in rows) * 1.6)
    axes.set_xlabel("our time as a part of the reference's; black: the goal; left of the dashed line we are faster")
    return figure


def _label(row: Row) -> str:
    where = f" ({row.note.split(';')[0]})" if row.figure == "round trip" and ";" in row.note else ""
    return f"{row.ours}\nbeside {row.reference}{where}"


def _graphs(rows: list[Row]) -> Any:
    figure, axes = plt.subplots(figsize=(7, 4.2))
    for shape, style in (("chain", "o-"), ("fan-in", "s--"), ("mesh", "^:")):
        of_shape = [row for row in rows if row.extra["shape"] == shape]
        for name, color, kept in (
            ("django_rpc", GREEN, of_shape),
            ("dask", RED, [r for r in of_shape if not r.capped]),
        ):
            times = [(row.subject if name == "django_rpc" else row.beside).median / row.each * 1e6 for row in kept]
            axes.plot([row.each for row in kept], times, style, color=color, label=f"{name}, {shape}")
    axes.set(xscale="log", yscale="log", xlabel="nodes", ylabel="µs a node to build")
    axes.legend(fontsize=8)
    return figure


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
