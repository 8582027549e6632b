"""Settings of the test run, and the fixtures of all folders.

Tests of ``graph`` and ``wire`` need no Django: if only they are selected, Django is not set up and not imported.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

TESTS = Path(__file__).parent
PURE_ROOMS = ("graph", "wire")
SETTINGS = "django_rpc.demo.both_settings"


def only_pure_rooms(arguments, start):
    """Return True if every path on the command line is in a folder that needs no Django."""
    paths = [(start / argument.partition("::")[0]).resolve() for argument in arguments]
    pure = [TESTS / room for room in PURE_ROOMS]
    return all(any(path.is_relative_to(room) for room in pure) for path in paths)


def pytest_configure(config):
    """Name the settings before pytest-django's hook, which then calls ``django.setup()``."""
    if only_pure_rooms(config.args, config.invocation_params.dir):
        return
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", SETTINGS)
    from django.conf import settings

    # Reading a setting makes the settings "configured", which pytest-django requires.
    assert settings.INSTALLED_APPS


@pytest.fixture(scope="session")
def required():
    """``required(ok, reason)``: skip on a laptop, and fail where CI=true, if a service is missing.

    A machine that is meant to have everything must not pass by skipping.
    """

    def check(ok, reason):
        if ok:
            return
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"{reason} (CI=true: nothing is skipped)")
        pytest.skip(reason)

    return check


@pytest.fixture
def run_python():
    """``run_python(code, env=..., timeout=...)``: run code in a fresh Python, return what it did.

    The returned ``CompletedProcess`` has ``stdout`` and ``stderr`` as text. Unless ``check=False``,
    a failure of the code is a failure of the test, with the code's own traceback.
    """

    def run(code, *, env=None, timeout=60, check=True):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check and done.returncode != 0:
            pytest.fail(f"The code ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    return run


#: Number of rows of each table that the tests of other files may expect.
EXPECTED_ROWS = pytest.StashKey[dict[str, int]]()
#: Django fills these tables after each flush, also for models that an application has made since the last flush.
FILLED_AFTER_FLUSH = {"auth_permission", "django_content_type"}


def count_rows():
    """Return the number of rows of each table of the default database."""
    from django.db import connection

    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor)) - FILLED_AFTER_FLUSH
        quote = connection.ops.quote_name
        cursor.execute(
            " UNION ALL ".join(f"SELECT '{table}', COUNT(*) FROM {quote(table)}" for table in sorted(tables))
        )
        return dict(cursor.fetchall())


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker, pytestconfig):
    """Count the rows that a new test database has."""
    with django_db_blocker.unblock():
        pytestconfig.stash[EXPECTED_ROWS] = count_rows()


@pytest.fixture(scope="module", autouse=True)
def no_committed_rows(request):
    """Fail the last test of a file that leaves other rows in the test database than it began with.

    Rows that a test commits are seen by the tests of each later file, which then depend on the order of the files.
    """
    yield
    expected = request.config.stash.get(EXPECTED_ROWS, None)
    if expected is None:  # no test has used the database
        return
    with request.getfixturevalue("django_db_blocker").unblock():
        rows = count_rows()
    request.config.stash[EXPECTED_ROWS] = rows  # later files do not repeat this error
    changes = {
        table: f"{expected.get(table)} -> {rows.get(table)}"
        for table in sorted(expected | rows)
        if expected.get(table) != rows.get(table)
    }
    if changes:
        pytest.fail(f"Tests of this file changed the committed rows of the test database: {changes}", pytrace=False)


@pytest.fixture
def shop_data(db):
    """The shop's rows (a small set) in the server's tables, within the test's transaction."""
    from django_rpc.demo.server.shop.data import load

    return load(customers=40, products=20, orders=80)


def namespace(*packages):
    """The models of these packages under their names, for code that runs on either side."""
    names = {}
    for package in packages:
        names.update({name: value for name, value in vars(package).items() if isinstance(value, type)})
    return SimpleNamespace(**names)


@pytest.fixture(scope="session")
def local():
    """The server's models."""
    from django_rpc.demo.server.rpc_server import models as rpc_server
    from django_rpc.demo.server.shop import models as shop
    from django_rpc.demo.server.zoo import models as zoo

    return namespace(rpc_server, shop, zoo)


@pytest.fixture(scope="session")
def remote():
    """The client's mirrors of them."""
    from django_rpc.demo.client.seed import models as seed
    from django_rpc.demo.client.shop import models as shop
    from django_rpc.demo.client.zoo import models as zoo

    return namespace(seed, shop, zoo)


@pytest.fixture
def messages():
    """``with messages() as sent: ...``; ``len(sent)`` messages were sent to the service."""

    def capture():
        from django.db import connections
        from django.test.utils import CaptureQueriesContext

        return CaptureQueriesContext(connections["rpc"])

    return capture


@pytest.fixture
def database_alias():
    """``database_alias(alias, settings)``: one more database of this process, for the time of one test.

    Django keeps the connection of an alias when its settings are removed, and a later test with other settings for the
    same alias would get it.  Therefore both are removed.
    """
    from django.db import connections

    aliases = []

    def add(alias, settings):
        assert alias not in connections.settings
        aliases.append(alias)
        connections.settings[alias] = settings
        return alias

    yield add
    for alias in aliases:
        connections[alias].close()
        del connections[alias], connections.settings[alias]
