"""The server's own tests once more, on databases that people run: what is refused is refused there as well."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from django_rpc.demo import environment

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("database", ["postgresql_url", "mariadb_url"])
def test_the_servers_tests(database, request):
    url = request.getfixturevalue(database)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/server", "-q", "-x", "-p", "no:cacheprovider"],
        cwd=ROOT,
        env={**os.environ, environment.DATABASE: url},
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
