"""Connections to Redis after drops and an outage, at both ends, with the oldest and the installed redis-py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.source import cache_folder

ROOT = Path(__file__).parents[2]


#: The lowest release that the code has to work with.
OLDEST = "5.0.0"


def oldest_redis(required):
    """A folder with the oldest release of redis-py, installed when it is first used."""
    folder = cache_folder() / f"redis-{OLDEST}"
    if not (folder / "ready").exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--upgrade", "--target", str(folder), f"redis=={OLDEST}"]
        done = subprocess.run(command, capture_output=True, text=True)
        required(done.returncode == 0, f"redis {OLDEST} could not be installed: {done.stderr[-500:]}")
        (folder / "ready").touch()
    return folder


@pytest.mark.timeout(240)
@pytest.mark.parametrize("release", ["installed", "oldest"])
def test_both_ends_answer_after_dropped_connections_and_an_outage(release, request, required):
    """Only the answers use the stopped Redis. kombu's transport for Redis needs a later redis-py."""
    broker = request.getfixturevalue("redis").url if release == "installed" else request.getfixturevalue("rabbitmq_url")
    folders = [str(ROOT)]
    if release == "oldest":
        folders.insert(0, str(oldest_redis(required)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "DJANGO_SETTINGS_MODULE": ""}
    command = [sys.executable, "-m", "tests.live.outage", broker]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT, timeout=200)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["after_drops"]
    assert result["errors"]
    assert result["too_many"] == []
    assert result["answered"]
    assert result["awaited"]
    assert not result["worker_too_many"]
    if release == "oldest":
        assert result["redis"] == OLDEST
