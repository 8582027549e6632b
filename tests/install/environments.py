"""Virtual environments with the package and nothing but the extras that a test names."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BareEnvironment", "InstallationFailed", "declared_extras", "make_environment"]

ROOT = Path(__file__).parents[2]


class InstallationFailed(Exception):
    """The package index could not be reached, or the requirements do not fit together."""


@dataclass(frozen=True)
class BareEnvironment:
    """The folder of a virtual environment."""

    folder: Path

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    def variables(self, **more: str) -> dict[str, str]:
        """Return variables of processes in this environment: commands and modules of no other one are found."""
        hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "DJANGO_SETTINGS_MODULE"}
        variables = {name: value for name, value in os.environ.items() if name not in hidden}
        return {**variables, "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.defpath}", **more}

    def run(self, *command: str, cwd: Path, timeout: float = 120, **variables: str) -> str:
        """Return the output of a command of this environment; raise AssertionError where it fails."""
        done = subprocess.run(
            command, cwd=cwd, env=self.variables(**variables), capture_output=True, text=True, timeout=timeout
        )
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout


def make_environment(folder: Path, *extras: str, lowest: bool = False) -> BareEnvironment:
    """Make a virtual environment in ``folder`` with this checkout and ``extras``.

    ``lowest`` installs the lowest version of each dependency that pyproject.toml allows.
    Raises `InstallationFailed`.
    """
    environment = BareEnvironment(folder)
    package = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
    resolution = ["--resolution", "lowest-direct"] if lowest else []
    _uv("venv", "--quiet", "--python", sys.executable, str(folder))
    _uv("pip", "install", "--quiet", "--python", environment.python, *resolution, package)
    return environment


def _uv(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "uv", *arguments], capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise InstallationFailed(f"uv {' '.join(arguments)} failed:\n{done.stderr}")


def declared_extras() -> set[str]:
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
