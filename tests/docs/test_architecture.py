"""The paths that the map of the package names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["docs/explanation/architecture.md", "docs/explanation/graph.md"]
_PATH = re.compile(r"`((?:[a-z_0-9]+/)*[a-z_0-9]+(?:/|\.py))`")


def paths_in(page):
    """Return the paths of files and folders in a page."""
    return sorted(set(_PATH.findall((ROOT / page).read_text())))


def exists(path, names):
    """Return True for a path from the package or the repository, and for the name of a file without its folder."""
    return (ROOT / "django_rpc" / path).exists() or (ROOT / path).exists() or path in names


@pytest.mark.parametrize("page", PAGES)
def test_named_paths_exist(page):
    names = {file.name for file in (ROOT / "django_rpc").rglob("*.py")}
    assert [path for path in paths_in(page) if not exists(path, names)] == []


def test_architecture_names_every_layer():
    layers = {path.name for path in (ROOT / "django_rpc").iterdir() if path.joinpath("__init__.py").exists()}
    assert layers <= {path.split("/")[0] for path in paths_in(PAGES[0])}


def test_query_path_has_at_most_12_steps():
    text = (ROOT / PAGES[0]).read_text()
    assert 1 <= len(re.findall(r"^\d+\. ", text, re.MULTILINE)) <= 12
