"""A pytest plugin: tests that were written for a service in their process use a worker.

The worker reads what is committed, so a test runs in no transaction; after it, the database is what it was before.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

__all__ = ["pytest_collection_modifyitems", "pytest_configure"]


def pytest_configure(config: pytest.Config) -> None:
    from django.conf import settings
    from django.test import TransactionTestCase

    database = Path(settings.DATABASES["default"]["NAME"])
    untouched = database.with_suffix(".untouched")
    copy(database, untouched)
    TransactionTestCase._fixture_teardown = lambda case: copy(untouched, database)


def copy(source: Path, target: Path) -> None:
    """Through the interface of SQLite, as the worker may have the file open."""
    with (
        contextlib.closing(sqlite3.connect(source)) as one,
        contextlib.closing(sqlite3.connect(target, timeout=20)) as other,
    ):
        one.backup(other)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        marker = item.get_closest_marker("django_db")
        databases = marker.kwargs.get("databases") if marker is not None else None
        if marker is not None or "db" in item.fixturenames:
            item.add_marker(pytest.mark.django_db(transaction=True, databases=databases or ["default", "rpc"]), False)
