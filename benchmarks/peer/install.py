"""An environment for djangoceleryrpc, which needs an older Django and an older Celery than ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.driver import ROOT
from benchmarks.harness import Skipped

#: Its requirements end at Django 4.0, Celery 5.2 and DRF 3.13; these need the rest.
PACKAGES = ["djangoceleryrpc[server]==4.0.0", "redis>=5", "pytz", "packaging", "setuptools<81"]
FOLDER = ROOT / "build" / "benchmarks" / f"djangoceleryrpc-py{sys.version_info.major}{sys.version_info.minor}"


def peer_python() -> str:
    """The interpreter of the peer's environment, made at the first call. Raises Skipped where that fails."""
    python = FOLDER / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    ready = FOLDER / ".ready"
    if not ready.exists():
        shutil.rmtree(FOLDER, ignore_errors=True)
        venv.create(FOLDER, with_pip=True)
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES], "installed")
        ready.touch()
    return str(python)


def peer_versions(python: str) -> str:
    """What the environment holds, for the report."""
    code = "import importlib.metadata as m; print(', '.join(f'{n} {m.version(n)}' for n in "
    code += "('djangoceleryrpc', 'Django', 'djangorestframework', 'celery')))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(FOLDER))
    if done.returncode != 0:
        raise Skipped(f"djangoceleryrpc 4.0 cannot be {what} here: {done.stderr.strip().splitlines()[-1][:200]}")
