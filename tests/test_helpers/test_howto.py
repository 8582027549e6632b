"""The project of docs/howto/testing.md: its tests pass, by Django's runner and by pytest; wrong ones fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "testing.md").read_text()
BLOCK = re.compile(r"```python\n# (\S+\.py)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The quick start's projects, with the files of the page."""
    folder = tmp_path_factory.mktemp("project")
    for name, code in [*BLOCK.findall((ROOT / "README.md").read_text()), *BLOCK.findall(PAGE)]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent.parent != folder:
            (path.parent / "__init__.py").touch()
        # Nobody must listen there: no test may need a broker.
        path.write_text(code.replace("redis://localhost/", "redis://127.0.0.1:1/"))
    return folder


@pytest.fixture(scope="module")
def run(project):
    def run(*command, check=True):
        env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(project / "client"), str(project / "service"), str(ROOT)]),
        }
        for name in ("DJANGO_SETTINGS_MODULE", "PYTEST_ADDOPTS"):
            env.pop(name, None)
        command = [sys.executable, "-m", *command]
        done = subprocess.run(command, cwd=project / "client", env=env, capture_output=True, text=True, timeout=60)
        output = done.stdout + done.stderr
        assert not check or done.returncode == 0, output
        return output

    return run


PYTEST = ("pytest", "-p", "django_rpc.test.plugin", "--ds", "test_settings", "-q", "-p", "no:cacheprovider")


def test_by_djangos_runner(run):
    assert "$ python -m django test --settings test_settings" in PAGE
    assert "Ran 5 tests" in run("django", "test", "--settings", "test_settings")


def test_by_pytest(run):
    assert "$ python -m pytest --ds test_settings" in PAGE
    assert "7 passed" in run(*PYTEST)


def test_pytest_loads_plugin():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    assert declared == {"django_rpc.test.plugin": "django_rpc.test.plugin"}


WRONG = """
from django.test import SimpleTestCase
from django_rpc.test import CannedAnswersMixin
from reading.models import Book


class Wrong(CannedAnswersMixin, SimpleTestCase):
    def test_too_many(self):
        self.answers.rows("Book*", [])
        with self.assertNumMessages(1):
            Book.objects.count(), Book.objects.first()

    def test_unanswered(self):
        Book.objects.first()

    def test_unanswered_and_caught(self):
        try:
            Book.objects.count()
        except Exception:
            pass


def test_unanswered_and_caught_by_pytest(rpc_answers):
    try:
        Book.objects.exists()
    except Exception:
        pass
"""


def test_examples_fail_as_documented(run, project):
    (project / "client" / "wrong.py").write_text(WRONG)
    output = run("django", "test", "wrong", "--settings", "test_settings", check=False)
    assert "2 messages were sent to 'rpc', 1 expected.\n1. Book.objects.count()\n2. Book.objects" in output
    assert "The test declares no answer to\n    Book.objects" in output
    assert "sent messages without a declared answer, and continued:\n    Book.objects.count()" in output
    assert re.search(r"FAIL: test_unanswered_and_caught ", output)
    output = run(*PYTEST, "wrong.py", "-k", "by_pytest", check=False)
    assert "and continued:\n" in output
