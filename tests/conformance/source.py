"""Django's tests: from the source distribution of the installed Django, which pip fetches into a cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import django

__all__ = ["SourceUnavailable", "cache_folder", "django_tests"]


class SourceUnavailable(Exception):
    """pip could not fetch the source distribution; the message is pip's own."""


def cache_folder() -> Path:
    """Where the sources are kept: never in the repository."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "django_rpc"


def django_tests() -> Path:
    """The folder ``tests`` of the installed Django's sources, fetched when it is not in the cache yet."""
    version = django.get_version()
    folder = cache_folder() / f"django-{version}"
    if not (folder / "tests" / "runtests.py").exists():
        _fetch(version, folder)
    return folder / "tests"


def _fetch(version: str, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--no-binary", "django", "--dest", scratch, f"django=={version}"]
        done = subprocess.run(command, capture_output=True, text=True)
        archives = list(Path(scratch).glob("*.tar.gz"))
        if done.returncode != 0 or not archives:
            raise SourceUnavailable(f"pip cannot fetch the sources of Django {version}:\n{done.stderr.strip()}")
        with tarfile.open(archives[0]) as archive:
            archive.extractall(scratch, filter="data")
        (unpacked,) = [path for path in Path(scratch).iterdir() if path.is_dir()]
        shutil.rmtree(folder, ignore_errors=True)
        unpacked.rename(folder)
