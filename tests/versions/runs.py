"""The runs: pytest in the environment of the client, and a worker in the environment of the server."""

from __future__ import annotations

import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from django_rpc.demo import environment
from django_rpc.demo.services import prepare_database, redis_server, worker

from .environments import ROOT, Environment
from .known import SERVER

__all__ = ["KINDS", "Result", "example", "mirrors", "rooms"]

TIMEOUT = 1800
#: Tests of the project that need a single process, and no service next to it.
ROOMS = "graph wire client models server backend contrib test_helpers".split()
#: Tests of mirrors, compared with their models.
MIRRORS = ("tests/models", "tests/contrib")
#: The example project's client and service, on Redis and on RabbitMQ with PostgreSQL.
EXAMPLE = ("tests/live/test_main_job.py", "tests/live/test_atomic.py")


@dataclass(frozen=True)
class Result:
    """The result of a run; ``failed`` has the names of tests, ``left_out`` the reason of each uncounted test."""

    kind: str
    client: Environment
    server: Environment
    passed: int
    failed: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    seconds: float = 0


def rooms(client: Environment, server: Environment, *more: str) -> Result:
    """The tests of the project within a release; ``client`` and ``server`` are the same."""
    return _pytest("rooms", client, server, [*(f"tests/{room}" for room in ROOMS), *more], {})


def mirrors(client: Environment, server: Environment, *more: str, tests: tuple[str, ...] = MIRRORS) -> Result:
    """Tests of mirrors, with a worker of the server's environment over Redis."""
    with tempfile.TemporaryDirectory() as folder, redis_server() as redis:
        database = environment.sqlite_url(Path(folder) / "service.sqlite3")
        python = str(server.python)
        variables = environment.variables(broker=redis.url, database=database) | _oldest(client, server)
        env = server.variables(**variables)
        prepare_database(database, "django_rpc.demo.both_settings", empty=True, env=env, python=python)
        with worker(env=env, python=python):
            variables |= {"DJANGO_SETTINGS_MODULE": "tests.versions.settings", SERVER: server.series}
            return _pytest("mirrors", client, server, ["-p", "tests.versions.plugin", *tests, *more], variables)


def example(client: Environment, server: Environment, *more: str) -> Result:
    """The tests of the example project, which start its workers by the server's Python."""
    variables = {"DJANGO_RPC_TEST_SERVER_PYTHON": str(server.python), SERVER: server.series}
    return _pytest("example", client, server, [*EXAMPLE, *more], variables | _oldest(client, server))


def _oldest(client: Environment, server: Environment) -> dict[str, str]:
    """The example's models contain only features of both ends."""
    return {environment.OLDEST: min(client.series, server.series)}


#: By the names of the table.
KINDS: dict[str, Callable[..., Result]] = {"rooms": rooms, "mirrors": mirrors, "example": example}


def _pytest(kind: str, client: Environment, server: Environment, words: list[str], variables: dict[str, str]) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [client.python, "-m", "pytest", "-q", "--reuse-db", f"--junitxml={report}", "-p", "no:cacheprovider"]
        command += ["-p", "django_rpc.test.plugin", "-p", "tests.versions.known", *words]
        done = subprocess.run(
            command, cwd=ROOT, env=client.variables(**variables), capture_output=True, text=True, timeout=TIMEOUT
        )
        if not report.exists():
            raise RuntimeError(f"pytest of {kind} came to no end:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return _read(kind, client, server, report)


def _read(kind: str, client: Environment, server: Environment, report: Path) -> Result:
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    passed, failed, left_out = 0, [], {}
    for case in suite.iter("testcase"):
        name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(name)
        elif skipped is not None:  # also an expected failure
            left_out[name] = skipped.get("message", "")
        else:
            passed += 1
    return Result(kind, client, server, passed, failed, left_out, float(suite.get("time", 0)))
