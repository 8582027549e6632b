"""Runs the tests of one test app with one kind of substitute, in a separate process.

``python -m tests.conformance.child mirror basic result.json [TEST...]``
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import sys
import tempfile
import time
import traceback
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conformance.libraries import share_libraries
from tests.conformance.settings import make_settings
from tests.conformance.source import django_tests
from tests.conformance.substitution import PREFIX, Substitution, imported_apps

__all__ = ["main"]


def main(kind: str, label: str, output: str, *only: str) -> None:
    tests = django_tests()
    sys.path.append(str(tests))
    os.environ["RUNNING_DJANGOS_TEST_SUITE"] = "true"
    labels = imported_apps(tests, label)
    observer = _start(tests, labels, kind)
    from django.test.utils import setup_databases, setup_test_environment

    setup_test_environment(debug=False)
    setup_databases(verbosity=0, interactive=False, aliases={"default", "other"})
    suite, broken = _load(tests, label)
    if only:
        suite = [test for test in suite if any(_name(test).startswith(prefix) for prefix in only)]
    result = _Result(observer, verbose=bool(only))
    began = time.perf_counter()
    unittest.TestSuite(suite).run(result)
    report = {
        "app": label,
        "kind": kind,
        "apps": labels,
        "seconds": round(time.perf_counter() - began, 1),
        "broken_modules": broken,
        "tests": result.records,
    }
    Path(output).write_text(json.dumps(report))


def _start(tests: Path, labels: list[str], kind: str) -> Any:
    from django.conf import settings

    settings.configure(**make_settings(tests, labels, kind))
    os.environ["TZ"] = settings.TIME_ZONE  # Django sets it for settings from a module only
    time.tzset()
    substitution = Substitution(tests, labels, kind)
    substitution.install()
    import django

    with _same_folders():
        django.setup()
    from tests.conformance.observe import Observer

    if kind == "mirror":
        _expose_everything()
        share_libraries()
    observer = Observer(kind)
    observer.install(substitution.models)
    return observer


@contextlib.contextmanager
def _same_folders() -> Iterator[None]:
    """A models module that makes a folder for its files makes it once: both ends have one storage, as services do."""
    made: dict[Any, str] = {}
    make = tempfile.mkdtemp

    def once(*args: Any, **kwargs: Any) -> str:
        frame = sys._getframe(1)
        return made.setdefault((frame.f_code.co_filename, frame.f_lineno), make(*args, **kwargs))

    tempfile.mkdtemp = once
    try:
        yield
    finally:
        tempfile.mkdtemp = make


def _expose_everything() -> None:
    """Register each model that is no mirror, with all fields, operations and rows."""
    from django.apps import apps

    from django_rpc.server import ModelRpc, site
    from django_rpc.server.registry.model_rpc import OPERATIONS

    class Everything(ModelRpc):
        fields = "__all__"
        operations = OPERATIONS

        def get_queryset(self, request: Any) -> Any:
            return self.model._base_manager.get_queryset()

    for model in apps.get_models():
        if not model._meta.app_label.startswith(PREFIX):
            site.register(model, Everything)


def _load(tests: Path, label: str) -> tuple[list[Any], dict[str, str]]:
    """The tests of the app's ``test*.py`` modules in the order of Django, and the modules that cannot be imported."""
    from django.test import SimpleTestCase, TestCase
    from django.test.runner import reorder_tests
    from django.test.utils import iter_test_cases

    found: list[Any] = []
    broken: dict[str, str] = {}
    for path in sorted((tests / label).rglob("test*.py")):
        parts = path.relative_to(tests).with_suffix("").parts
        if not all((tests.joinpath(*parts[:i]) / "__init__.py").exists() for i in range(1, len(parts))):
            continue
        name = PREFIX + ".".join(parts)
        try:
            module = importlib.import_module(name)
        except unittest.SkipTest:
            continue
        except Exception:  # noqa: BLE001
            broken[name.removeprefix(PREFIX)] = traceback.format_exc()
            continue
        found.extend(iter_test_cases(unittest.defaultTestLoader.loadTestsFromModule(module)))
    return list(reorder_tests(found, [TestCase, SimpleTestCase])), broken


def _name(test: Any) -> str:
    return str(test.id()).removeprefix(PREFIX)


class _Result(unittest.TestResult):
    """Keeps of each test: its outcome (pass, fail, skip), the cause of a failure, and the observations."""

    def __init__(self, observer: Any, verbose: bool) -> None:
        super().__init__()
        self.observer = observer
        self.verbose = verbose
        self.records: dict[str, dict[str, Any]] = {}

    def startTest(self, test: Any) -> None:
        from tests.conformance.observe import Observed

        super().startTest(test)
        self.observer.now = Observed()
        self.began = time.perf_counter()
        self._record(test)

    def stopTest(self, test: Any) -> None:
        super().stopTest(test)
        _leave_transactions(test)
        seen, record = self.observer.now, self._record(test)
        record["seconds"] = round(time.perf_counter() - self.began, 3)
        record.update(
            messages=seen.messages.total(), sql=sorted(seen.sql), reads_sql=sorted(seen.reads_sql), leaks=seen.leaks
        )
        from tests.conformance.observe import Observed

        self.observer.now = Observed()

    def _record(self, test: Any) -> dict[str, Any]:
        return self.records.setdefault(_name(test), {"outcome": "pass", "messages": 0, "sql": [], "reads_sql": []})

    def _failed(self, test: Any, error: Any) -> None:
        record = self._record(test)
        if self.verbose:
            print(f"--- {_name(test)}", "".join(traceback.format_exception(*error)), sep="\n")
        if record["outcome"] != "fail":
            record["outcome"] = "fail"
            record["cause"] = describe_error(error)

    def addError(self, test: Any, err: Any) -> None:
        super().addError(test, err)
        if isinstance(test, unittest.suite._ErrorHolder):  # type: ignore[attr-defined]
            self._class_failed(test, err)
        else:
            self._failed(test, err)

    def _class_failed(self, holder: Any, err: Any) -> None:
        """setUpClass() failed, so none of the class's tests ran."""
        match = re.search(r"\((.*)\)", holder.id())
        name = (match[1] if match else holder.id()).removeprefix(PREFIX)
        if self.verbose:
            print(f"--- {name}", "".join(traceback.format_exception(*err)), sep="\n")
        self.records[f"{name}.setUpClass"] = {
            "outcome": "fail", "messages": 0, "sql": [], "reads_sql": [], "leaks": [], "cause": describe_error(err)
        }  # fmt: skip

    def addFailure(self, test: Any, err: Any) -> None:
        super().addFailure(test, err)
        self._failed(test, err)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._failed(test, err)

    def addSkip(self, test: Any, reason: str) -> None:
        super().addSkip(test, reason)
        self._record(test).update(outcome="skip", reason=reason)

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self._record(test).update(outcome="skip", reason="Django expects it to fail")

    def addUnexpectedSuccess(self, test: Any) -> None:
        super().addUnexpectedSuccess(test)
        self._record(test).update(outcome="skip", reason="Django expects it to fail")


def _leave_transactions(test: Any) -> None:
    """Leave the transactions that a failed test left open, so that they do not affect the next test."""
    from django.db import connections
    from django.test import TestCase

    connection = connections["default"]
    if isinstance(test, TestCase) or not (connection.in_atomic_block or connection.needs_rollback):
        return
    connection.in_atomic_block = connection.needs_rollback = False
    connection.atomic_blocks, connection.savepoint_ids = [], []
    connection.connection.rollback()
    connection.set_autocommit(True)


def describe_error(error: Any) -> dict[str, str]:
    """The exception's type, its message, and the innermost frame of this project."""
    kind, value, tb = error
    frames = traceback.extract_tb(tb)
    own = [frame for frame in frames if "/django_rpc/" in frame.filename and "/.cache/" not in frame.filename]
    at = ""
    if own and not issubclass(kind, AssertionError):
        frame = own[-1]
        at = f"django_rpc/{frame.filename.rpartition('/django_rpc/')[2]}:{frame.name}"
    return {"type": kind.__name__, "at": at, "message": str(value)[:500]}


if __name__ == "__main__":
    main(*sys.argv[1:])
