"""The benchmarks run. Their figures are not judged here: a busy machine would fail the test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(180)
def test_every_figure_has_a_reference(tmp_path):
    path = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170)

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(path.read_text())
    assert {"round-trip", "steps", "many", "bulk", "encoding", "growth"} <= set(found["figures"])
    for rows in found["figures"].values():
        assert rows
        for row in rows:
            assert row["reference"]
            assert row["beside"]["median"] > 0
            assert row["subject"]["median"] > 0
            assert row["n"] > 0
    assert set(found["missing"]) <= {"graphs"}  # needs dask, of the extra `bench`
