"""An alias of ours in DATABASES disturbs none of Django's commands, and needs no broker for them."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.db import NotSupportedError, connections
from django.test import TestCase

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


def test_check(run_python):
    """Runs in a separate process, because the tests of mirrors define models that belong to no project."""
    run_python(
        "import django; django.setup(); from django.core.management import call_command; "
        "call_command('migrate', run_syncdb=True, verbosity=0); "
        "call_command('check', database=['default', 'rpc'])"
    )


@pytest.mark.django_db(databases=["default", "rpc"], transaction=True)  # SQLite makes no tables within a transaction
def test_migrate_leaves_mirrors_alone():
    out = io.StringIO()
    call_command("migrate", run_syncdb=True, stdout=out, verbosity=1)
    assert "shop_client" not in [
        table.split("_customer")[0] for table in connections["default"].introspection.table_names()
    ]


def test_migrate_of_alias_names_the_right_place():
    with pytest.raises(CommandError, match="remote service"):
        call_command("migrate", database="rpc")


def test_makemigrations():
    out = io.StringIO()
    call_command("makemigrations", "shop_client", dry_run=True, stdout=out)
    assert "shop_client" in out.getvalue() or "No changes" in out.getvalue()


def test_flush_touches_nothing(shop_data, local):
    before = local.Customer.objects.count()
    call_command("flush", database="rpc", interactive=False, verbosity=0)
    assert local.Customer.objects.count() == before


def test_dumpdata_of_the_default_database_has_no_mirrors(shop_data):
    out = io.StringIO()
    call_command("dumpdata", "shop_client", stdout=out)
    assert json.loads(out.getvalue()) == []


def test_dumpdata_of_the_alias(shop_data):
    out = io.StringIO()
    call_command("dumpdata", "shop_client.tag", database="rpc", stdout=out)
    assert len(json.loads(out.getvalue())) == 8


def test_no_sql():
    with pytest.raises(NotSupportedError, match="SQL cannot be sent"):
        connections["rpc"].cursor().execute("SELECT 1")
    with pytest.raises(NotSupportedError), connections["rpc"].schema_editor() as editor:
        editor.execute("DROP TABLE x")


def test_an_alias_without_broker_needs_none(run_python):
    """``check`` without this alias, and queries of the project, while the broker of ``rpc`` is down."""
    run_python(
        """
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django_rpc", "django_rpc.demo.client.shop"],
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
        "rpc": {"BROKER_URL": "redis://127.0.0.1:1/", "RESULT_BACKEND": "redis://127.0.0.1:1/"},
    },
    DATABASE_ROUTERS=["django_rpc.routers.RpcRouter"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()
from django.core.management import call_command
call_command("check")
call_command("check", database=["default"])
call_command("migrate", verbosity=0)
from django.test.utils import get_runner
runner = get_runner(settings)(verbosity=0, interactive=False)
config = runner.setup_databases(aliases={"default": False, "rpc": False})
runner.teardown_databases(config)
import sys
assert not any(name.startswith("redis.") for name in sys.modules), "nobody asked for a connection"
""",
        env={"DJANGO_SETTINGS_MODULE": ""},
    )


def test_a_test_case_with_the_alias_rolls_back_and_empties_no_table():
    class Tests(TestCase):
        databases = {"default", "rpc"}

    assert Tests._databases_support_transactions()
