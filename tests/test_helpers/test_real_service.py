"""Tests of a client project send nothing to a real broker, unless the project allows it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import redis as redis_client
from django.test import SimpleTestCase

from django_rpc.demo.services import redis_server

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```python\n# (client/\S+\.py)\n(.*?)```", re.DOTALL)

TESTS = """
import asyncio

import pytest
from django.test import SimpleTestCase, TestCase, TransactionTestCase
from reading.models import Book


class Calls:
    def test_read(self):
        Book.objects.count()

    def test_write(self):
        Book.objects.create(title="a", author_id=1, price=1)

    def test_future(self):
        Book.objects.future().filter(price=1).submit()

    def test_delayed(self):
        Book.objects.delayed().count().submit()

    def test_await(self):
        asyncio.run(Book.objects.acount())


class Default(Calls, TestCase):
    pass


class Simple(Calls, SimpleTestCase):
    pass


class Transactions(Calls, TransactionTestCase):
    pass


class Named(Calls, TestCase):
    databases = {"default", "rpc"}


@pytest.mark.django_db
@pytest.mark.parametrize("name", [name for name in dir(Calls) if name.startswith("test_")])
def test_marked(name):
    getattr(Calls(), name)()


@pytest.mark.parametrize("name", [name for name in dir(Calls) if name.startswith("test_")])
def test_unmarked(name):
    getattr(Calls(), name)()
"""
ALLOWING = """
from settings import *

DATABASES["rpc"] = {**DATABASES["rpc"], "TIMEOUT": 0.2, "TEST": {"REAL_SERVICE": True}}
"""


@pytest.fixture(scope="module")
def broker():
    with redis_server() as server:
        yield redis_client.Redis.from_url(server.url), server.url


@pytest.fixture(scope="module")
def project(tmp_path_factory, broker):
    """The client of the quick start, with tests that call the service."""
    folder = tmp_path_factory.mktemp("project")
    for name, code in BLOCK.findall((ROOT / "README.md").read_text()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code.replace("redis://localhost/", broker[1]))
    client = folder / "client"
    (client / "reading" / "__init__.py").touch()
    (client / "reading" / "test_calls.py").write_text(TESTS)
    (client / "allowing.py").write_text(ALLOWING)
    return client


@pytest.fixture
def run(project):
    def run(*command):
        variables = {name: value for name, value in os.environ.items() if name not in {"PYTEST_ADDOPTS"}}
        variables.pop("DJANGO_SETTINGS_MODULE", None)
        done = subprocess.run(
            [sys.executable, "-m", *command],
            env={**variables, "PYTHONPATH": os.pathsep.join([str(project), str(ROOT)])},
            cwd=project, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return done.stdout + done.stderr

    return run


def sent(broker):
    """The number of messages that wait in the queue, which is then empty."""
    count = broker[0].llen("django_rpc")
    broker[0].delete("django_rpc")
    return count


DJANGO = ("django", "test", "reading")
PYTEST = ("pytest", "-q", "-p", "no:cacheprovider", "reading/test_calls.py")
#: Error text of Django; since 5.2 it reads "threaded connections".
#: Older releases of Django guard only the connections of the thread that runs the test.
GUARDS_THREADS = hasattr(SimpleTestCase, "ensure_connection_patch_method")
FORBIDDEN = re.compile(r"Database (threaded )?connections to 'rpc' are not allowed")
REFUSED = "RealServiceInTests: This test would send a message to the real service 'rpc' (redis://127.0.0.1:"


def test_django_runner_sends_nothing(run, broker):
    output = run(*DJANGO, "--settings", "settings")
    assert re.search(r"FAILED \((failures|errors)=20\)|FAILED \(failures=\d+, errors=\d+\)", output), output
    assert output.count(REFUSED) == 20, output
    assert "InProcessMixin" in output
    assert sent(broker) == 0


def test_pytest_sends_nothing(run, broker):
    output = run(*PYTEST, "--ds", "settings", "-k", "marked")
    assert "10 failed" in output
    assert output.count(REFUSED) >= 10
    assert sent(broker) == 0


def test_databases_of_a_test_case_are_honoured(run, broker):
    output = run(*DJANGO, "--settings", "allowing", "-k", "Default", "-k", "Simple", "-k", "Transactions")
    assert "Ran 15 tests" in output
    assert len(FORBIDDEN.findall(output)) == (15 if GUARDS_THREADS else 12)
    assert sent(broker) == (0 if GUARDS_THREADS else 3)


def test_the_mark_of_pytest_django_is_honoured(run, broker):
    output = run(*PYTEST, "--ds", "allowing", "-k", "marked")
    assert "10 failed" in output
    assert output.count("Database access not allowed") >= 5  # test_unmarked
    assert len(FORBIDDEN.findall(output)) >= 4  # test_marked: "default" alone
    assert sent(broker) == (0 if GUARDS_THREADS else 1)


def test_a_project_may_allow_the_real_service(run, broker):
    output = run(*DJANGO, "--settings", "allowing", "-k", "Named")
    assert "Ran 5 tests" in output
    assert output.count("RpcTimeout: ") >= 4  # test_future does not wait for its answer
    assert not FORBIDDEN.search(output)
    assert "SynchronousOnlyOperation" not in output
    assert sent(broker) == 5
