"""System checks of a service, and the worker that refuses to start with mistakes in CLIENTS."""

from __future__ import annotations

import re
import sys
import types

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection

from django_rpc.celery import app as worker
from django_rpc.server.checks import check_clients, check_packages
from django_rpc.server.query import timeouts
from tests.server.conftest import method, source

SECRET = "s" * 32
PUBLIC = (
    Ed25519PrivateKey.generate()
    .public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


@pytest.fixture
def checked(settings_of_server, settings):
    def check(caches=None, **given):
        settings.CACHES = {
            "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
            "shared": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "rpc_tokens"},
        }
        settings_of_server(**given)
        return [message.id.partition(".")[2] for message in check_clients()]

    return check


def test_who_may_call_is_checked(checked):
    known = {"SERVICE": "stock", "CACHE": "shared"}
    assert checked() == ["W020"]
    assert checked(CLIENTS={"anonymous": {}}) == []
    assert checked(CLIENTS={"shop": {"keys": SECRET}}, **known) == []
    assert checked(CLIENTS={"shop": {"keys": SECRET}}) == ["E020"]
    assert checked(CLIENTS={"shop": {"keys": "short"}}, **known) == ["E020"]
    assert checked(CLIENTS={"shop": {"keys": PUBLIC}}, **known) == ["E021"]
    assert checked(CLIENTS={"shop": {"keys": SECRET}}, SERVICE="stock") == ["E022"]
    assert checked(CLIENTS={"shop": {"keys": SECRET}}, SERVICE="stock", CACHE="nowhere") == ["E020"]
    assert checked(CLIENTS={"shop": {"keys": SECRET}}, KEY="short", **known) == ["E020"]
    assert checked(CLIENTS={"shop": {"keys": SECRET}}, KEY=SECRET, **known) == ["E020"]
    assert checked(CLIENTS={"anonymous": {}}, OBSERVERS=["nowhere.to.be.found"]) == ["E020"]


def test_a_worker_does_not_start_with_a_mistake(checked, settings):
    checked(CLIENTS={"shop": {"keys": SECRET}}, SERVICE="stock")

    class Sender:
        app = worker.app

    with pytest.raises(SystemExit, match="E022"):
        worker._begin(sender=Sender)
    assert not timeouts._kept, "only a process that does nothing else leaves a time-out on its connections"


@pytest.fixture
def without_regex(monkeypatch):
    """Python without the package ``regex``, as after ``pip install django-rpc[django]``."""
    from django_rpc.server.query import regexes

    monkeypatch.setitem(sys.modules, "regex", None)
    monkeypatch.setattr(regexes, "find_spec", lambda name: None)
    regexes.searcher.cache_clear()
    yield
    regexes.searcher.cache_clear()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases search by themselves")
def test_the_package_for_regular_expressions_is_missing(without_regex, settings_of_server, monkeypatch):
    settings_of_server(CLIENTS={"anonymous": {}}, BROKER_URL="memory://")
    (message,) = check_packages()
    assert message.id == "django_rpc.E025"
    assert "'regex'" in message.msg
    assert "django-rpc[server]" in message.hint
    monkeypatch.setitem(worker.app.conf, "broker_url", "memory://")
    with pytest.raises(SystemExit, match="'regex' is not installed"):
        worker._begin(sender=types.SimpleNamespace(app=worker.app))


@pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases search by themselves")
@pytest.mark.parametrize("lookup", ["regex", "iregex"])
def test_a_lookup_names_the_missing_package(without_regex, ask, shop_data, lookup):
    told = ask(method(method(source("shop.Customer"), "filter", **{f"name__{lookup}": "a"}), "count")).error
    assert told.code == "NotSupportedError"
    assert "'regex' (pip install 'django-rpc[server]')" in told.message


def test_no_package_is_missing(settings_of_server):
    settings_of_server(CLIENTS={"anonymous": {}})
    assert check_packages() == []


def test_a_worker_logs_the_warnings_when_it_starts(checked, settings, caplog):
    class Instance:
        app = worker.app

    checked()
    worker._log_warnings(sender="worker@here", instance=Instance)
    assert [record.getMessage().partition(")")[0] for record in caplog.records] == ["?: (django_rpc.W020"]
    caplog.clear()
    settings.SILENCED_SYSTEM_CHECKS = ["django_rpc.W020"]
    worker._log_warnings(sender="worker@here", instance=Instance)
    assert caplog.records == []


SERVICE = """

from django.conf import settings

settings.configure(
    SECRET_KEY="x",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django_rpc"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    SILENCED_SYSTEM_CHECKS=SILENCED,
    DJANGO_RPC=OPTIONS,
)
import django

django.setup()
from django.contrib.auth.models import Group

from django_rpc.server import ModelRpc, site


@site.register(Group)
class GroupRpc(ModelRpc):
    fields = ["id", "name"]
    operations = {"read", "create"}


from django.core.management import call_command

call_command("check")
"""


@pytest.mark.parametrize(
    ("options", "silenced", "expected"),
    [
        ({"BROKER_URL": "memory://"}, [], ["W020", "W021"]),
        ({"BROKER_URL": "memory://"}, ["django_rpc.W020"], ["W021"]),
        ({"BROKER_URL": "memory://", "SERVICE": "stock", "CLIENTS": {"shop": {"keys": SECRET}}}, [], ["E022", "W021"]),
        ({}, [], []),
    ],
)
def test_manage_check_of_a_service(run_python, options, silenced, expected):
    code = SERVICE.replace("OPTIONS", repr(options)).replace("SILENCED,", f"{silenced!r},")
    done = run_python(code, check=False)
    assert re.findall(r"\(django_rpc\.(\w+)\)", done.stderr) == expected, done.stderr
    assert done.returncode == ("E022" in expected)


def test_a_client_project_loads_no_checks_of_a_service(run_python):
    done = run_python(
        "from django.conf import settings\n"
        "settings.configure(INSTALLED_APPS=['django_rpc'], DATABASES={})\n"
        "import django; django.setup()\n"
        "from django.core.management import call_command; call_command('check')"
    )
    assert "django_rpc." not in done.stderr
