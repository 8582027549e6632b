"""The tests of the server on further databases: they refuse the same requests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from django_rpc.demo import environment

ROOT = Path(__file__).parents[2]


QUERIES = [
    f"tests/server/{name}.py"
    for name in ("policy/test_client_policy", "evaluate/test_evaluator", "registry/test_exposure", "core/test_limits")
]
CONSTRAINTS = ["tests/server/errors/test_constraints.py"]
ATTACKS = ["tests/attacks", "--ignore=tests/attacks/test_fuzz.py", "--ignore=tests/attacks/test_probes.py"]
PROBES = ["tests/attacks/test_fuzz.py", "tests/attacks/test_probes.py"]


@pytest.mark.parametrize(
    ("database", "files"),
    [
        ("postgresql_url", QUERIES),
        ("mariadb_url", [*QUERIES, "tests/attacks/test_write_scope.py"]),
        ("postgresql_url", CONSTRAINTS),
        ("mariadb_url", CONSTRAINTS),
        ("postgresql_url", ATTACKS),
        ("postgresql_url", PROBES),
    ],
)
def test_the_servers_tests(database, files, request):
    url = request.getfixturevalue(database)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *files, "-q", "-x", "-p", "no:cacheprovider"],
        cwd=ROOT,
        env={**os.environ, environment.DATABASE: url},
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
