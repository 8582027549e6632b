"""Random programs against a real worker in another time zone, and on local models in an equal database.

Each program runs in a random zone and language of the client.  The worker's database and the copy for the local models
get the same rows again after each program that writes.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import uuid
import warnings
import zoneinfo
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.db import connections
from django.utils import timezone, translation

from django_rpc.demo import environment
from django_rpc.demo.services import redis_server, temporary_folder, worker
from tests.semantics.programs import Difference, Program
from tests.semantics.runner import Tally, prepare
from tests.semantics.sides import LOCAL, run, sides, tables

__all__ = ["run_live"]

ZONES = ("Asia/Kolkata", "Europe/Berlin", "Pacific/Kiritimati", "America/New_York", "UTC", "Asia/Kathmandu")
LANGUAGES = ("en", "de", "fr", "ja")
HERE = Path(__file__).parent
FOLDER_OF_SETTINGS = HERE.parent / "live"


def run_live(first: int, count: int, tally: Tally, kind: str | None = None) -> None:
    """Run ``count`` programs from the seed ``first`` and add them to a tally."""
    prepare()
    with temporary_folder() as folder, _started(folder) as files:
        for seed in range(first, first + count):
            tally.add(compare_live(Program.of(seed, kind), files), f"live, {_locale(seed)}: ")


@contextlib.contextmanager
def _started(folder: Path) -> Iterator[dict[str, Path]]:
    """Start a worker on a copy of this process's rows; yield the files of the databases."""
    files = {name: folder / f"{name}.sqlite3" for name in ("pristine", "served", "default")}
    connections["default"].ensure_connection()
    with contextlib.closing(sqlite3.connect(files["pristine"])) as target:
        connections["default"].connection.backup(target)
    for name in ("served", "default"):
        shutil.copy(files["pristine"], files[name])
    queue = f"django_rpc_test_{uuid.uuid4().hex[:8]}"
    with redis_server() as redis:
        url = environment.sqlite_url(files["served"])
        env = environment.variables(broker=redis.url, backend=redis.url, database=url, queue=queue)
        paths = filter(None, [str(FOLDER_OF_SETTINGS), os.environ.get("PYTHONPATH")])
        env |= {"ZONED_TIME_ZONE": "America/St_Johns", "PYTHONPATH": os.pathsep.join(paths)}
        with worker("zoned_settings", env, concurrency=1):
            connections.settings["rpc"] |= {
                "BROKER_URL": redis.url, "RESULT_BACKEND": redis.url, "DEFAULT_QUEUE_NAME": queue,
                "PRIORITY_QUEUE_NAME": f"{queue}_priority", "CELERY": {}, "TIMEOUT": 30,
            }  # fmt: skip
            connections["rpc"].close()
            del connections["rpc"]
            yield files


def _locale(seed: int) -> tuple[str, str]:
    drawn = random.Random(-seed)
    return drawn.choice(ZONES), drawn.choice(LANGUAGES)


def compare_live(program: Program, files: dict[str, Path]) -> Difference | None:
    """Run a program on the worker and on local models; return the difference, or None."""
    zone, language = _locale(program.seed)
    local, remote = sides()
    with timezone.override(zoneinfo.ZoneInfo(zone)), translation.override(language), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        here: Any = run(program.lines, local, LOCAL, alias="rpc", commits=True)
        there: Any = run(program.lines, remote, program.way, alias="rpc", commits=True)
    if program.writes:
        here, there = (here, tables()), (there, _stored(files["served"]))
        connections["default"].ensure_connection()
        with contextlib.closing(sqlite3.connect(files["pristine"])) as source:
            source.backup(connections["default"].connection)
            _copy(source, files["served"])
    return Difference.of(program, here, there)


def _stored(path: Path) -> Any:
    """Return the tables of the worker's database."""
    connections.settings["served"] = {**connections.settings["default"], "NAME": str(path)}
    try:
        return tables("served")
    finally:
        connections["served"].close()
        del connections["served"], connections.settings["served"]


def _copy(source: sqlite3.Connection, path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, timeout=20)) as target:
        source.backup(target)
