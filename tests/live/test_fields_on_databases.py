"""Tests of fields once more, with the service's tables in databases that people run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from django_rpc.demo import environment

ROOT = Path(__file__).parents[2]
#: The other tests concern the client, which does not distinguish databases.
CHOSEN = "create_and_read or json or generated or defaults or auto_now or own or files_are_names"


@pytest.mark.parametrize("database", ["postgresql_url", "mariadb_url"])
def test_fields(database, request):
    url = request.getfixturevalue(database)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "tests/models/test_fields.py",
            "-k",
            CHOSEN,
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
        ],
        cwd=ROOT,
        env={**os.environ, environment.DATABASE: url},
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
