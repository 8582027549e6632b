"""Results of runs in the cache: a run of a pair changes the row of that pair on the page."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

from tests.conformance.source import cache_folder

from .environments import Environment
from .runs import Result

__all__ = ["keep", "kept"]


def _file() -> Path:
    return cache_folder() / "versions.json"


def _place(result: Result) -> str:
    return f"{result.client.series}:{result.server.series} {result.kind}"


def keep(result: Result) -> None:
    """Remember a result in the place of the last one of its kind and pair."""
    found = {_place(one): one for one in kept()}
    found[_place(result)] = replace(result, client=_nameless(result.client), server=_nameless(result.server))
    _file().write_text(json.dumps([asdict(one) for one in found.values()], default=str, indent=1))


def _nameless(end: Environment) -> Environment:
    return replace(end, python=Path())


def kept() -> list[Result]:
    """All results, in the order of their places."""
    if not _file().exists():
        return []
    found = [
        Result(**{**one, "client": Environment(**one["client"]), "server": Environment(**one["server"])})
        for one in json.loads(_file().read_text())
    ]
    return sorted(found, key=lambda one: (one.kind == "rooms", one.client.series, one.server.series, one.kind))
