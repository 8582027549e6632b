"""Examples in the docstrings of the package are run.

The examples of a module run with its names, with the mirrors of the example shop, and with client and service in this
process.
"""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "django_rpc"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


#: Prints its steps in the form of examples.
NO_EXAMPLES = {"django_rpc.demo.client.tour"}
MODULES = sorted({_name(path) for path in PACKAGE.rglob("*.py") if ">>> " in path.read_text()} - NO_EXAMPLES)


@pytest.mark.django_db(databases=["default", "rpc"], transaction=True)  # some examples use threads
@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name, shop_data, remote, tmp_path, monkeypatch):
    from django.contrib import admin
    from django.db import connections, models
    from django.test import SimpleTestCase, TestCase

    monkeypatch.chdir(tmp_path)  # some examples write files
    module = importlib.import_module(name)
    names = {**vars(models), **vars(remote), "admin": admin, "connections": connections, "TestCase": TestCase}
    names |= {"SimpleTestCase": SimpleTestCase, **vars(module), "__name__": "__main__"}
    result = doctest.testmod(module, extraglobs=names, optionflags=FLAGS)
    assert result.attempted
    assert not result.failed


def test_there_are_examples():
    assert len(MODULES) > 50


def test_no_example_is_skipped():
    """An example that does not run proves nothing."""
    assert [str(path) for path in PACKAGE.rglob("*.py") if "doctest: +SKIP" in path.read_text()] == []
