"""The ledger on each kind of database: deliveries at the same time, and a death between two commits."""

from __future__ import annotations

import json

import pytest

from django_rpc.demo import environment
from django_rpc.demo.services import SERVER_SETTINGS

TOGETHER = """
import django, json
django.setup()
import threading
from concurrent.futures import ThreadPoolExecutor
from django.db import connections
from django_rpc.demo.server.shop.models import AuditEntry, Customer, Order
from django_rpc.graph.nodes import Method, RequestOutcome, ModelSource
from django_rpc.graph.values import Expr
from django_rpc.server import handle
from django_rpc.server.models import LedgerEntry
from django_rpc.wire.codec import decode_response, encode_request
from django_rpc.wire.messages import Request

LedgerEntry.objects.filter(request__startswith="together").delete()
Order.objects.filter(number__startswith="together").delete()
customers = ModelSource(model="shop.Customer", service="rpc")
one = Method(customers, "filter", (), {"pk": 1})
more = Expr("CombinedExpression", (Expr("F", ("credit",)), "+", Expr("Value", (1,))))

def message(number, fails=False):
    update = Method(one, "update", (), {"credit": more})
    orders = ModelSource(model="shop.Order", service="rpc")
    create = Method(orders, "create", (), {"customer_id": 1, "number": f"together-{number}", "total": 1})
    nodes = [customers, one, update, orders, create]
    if fails:
        nodes.append(Method(customers, "get", (), {"pk": -1}))
    return encode_request(Request(id=f"together-{number}", nodes=tuple(nodes), outputs=(len(nodes) - 1,)))

def deliver(data):
    try:
        return handle(data)
    finally:
        connections.close_all()

def codes(answers):
    return sorted({str(decode_response(answer).error and decode_response(answer).error.code) for answer in answers})

before = Customer.objects.get(pk=1).credit
found = {"good": [], "bad": []}
with ThreadPoolExecutor(6) as pool:
    for number in range(8):
        bad = number % 2 == 1
        answers = list(pool.map(deliver, [message(number, bad)] * 6))
        found["bad" if bad else "good"].append([len(set(answers)), codes(answers)])
    ask = encode_request(Request(id="ask", nodes=(RequestOutcome("rpc", "together-99", True),), outputs=(0,)))
    mixed = list(pool.map(deliver, [message(99), ask, message(99), ask, message(99), ask]))
found["settled"] = decode_response(deliver(ask)).outputs[0]["state"]
found["done"] = int(Customer.objects.get(pk=1).credit - before)
found["orders"] = Order.objects.filter(number__startswith="together").count()
print(json.dumps(found))
"""

TWO = """
import django, json, os, sys
from django_rpc.demo.server import settings
one = settings.DATABASES["default"]
settings.DATABASES["other"] = {**one, "NAME": one["NAME"] + "-other"}

class Router:
    def db_for_read(self, model, **hints):
        return "other" if model.__name__ == "Tag" else None

    db_for_write = db_for_read

settings.DATABASE_ROUTERS = [Router()]
django.setup()
from django.core.management import call_command
from django.db import connections, transaction
for alias in ("default", "other"):
    call_command("migrate", run_syncdb=True, verbosity=0, database=alias)
from django_rpc.demo.server.shop.models import Category, Tag
from django_rpc.graph.nodes import Method, RequestOutcome, ModelSource
from django_rpc.server import handle
from django_rpc.server.models import LedgerEntry
from django_rpc.wire.codec import decode_response, encode_request
from django_rpc.wire.messages import Request

tags, categories = ModelSource("shop.Tag", "rpc"), ModelSource("shop.Category", "rpc")

def message(name):
    tag = Method(tags, "create", (), {"name": name})
    nodes = (tags, tag, categories, Method(categories, "create", (), {"title": name}))
    return encode_request(Request(id=name, nodes=nodes, outputs=(1,)))

def ask(name, settle=False):
    answer = handle(encode_request(Request(id="ask", nodes=(RequestOutcome("rpc", name, settle),), outputs=(0,))))
    return decode_response(answer).outputs[0]["state"]

found = {"same": handle(message("whole")) == handle(message("whole"))}
connections.close_all()
child = os.fork()
if not child:  # dies between the two commits
    commit = connections["default"]._commit
    connections["default"]._commit = lambda: os._exit(9) if connections["default"].in_atomic_block else commit()
    connections["default"].commit = lambda: os._exit(9)
    handle(message("half"))
    os._exit(1)
found["child"] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
found["half"] = [Tag.objects.filter(name="half").count(), Category.objects.filter(title="half").count()]
found["again"] = decode_response(handle(message("half"))).error.code
found["states"] = [ask("whole"), ask("half"), ask("never"), ask("gone", True)]
found["withdrawn"] = decode_response(handle(message("gone"))).error.code
found["rows"] = [Tag.objects.count(), Category.objects.count()]
print(json.dumps(found))
"""


@pytest.mark.parametrize("database", ["sqlite_url", "postgresql_url", "mariadb_url"])
def test_deliveries_at_the_same_time_are_done_once(database, request, prepared, run_python):
    url = prepared(request.getfixturevalue(database))
    env = {"DJANGO_SETTINGS_MODULE": SERVER_SETTINGS, environment.DATABASE: url}
    found = json.loads(run_python(TOGETHER, env=env).stdout)
    assert found["good"] == [[1, ["None"]]] * 4
    assert [number for number, _ in found["bad"]] == [1] * 4
    settled = found["settled"]
    assert settled in ("done", "withdrawn")
    assert found["done"] == found["orders"] == 4 + (settled == "done")


def test_commit_in_one_of_two_databases(tmp_path, run_python):
    env = {
        "DJANGO_SETTINGS_MODULE": SERVER_SETTINGS,
        environment.DATABASE: environment.sqlite_url(tmp_path / "one.sqlite3"),
    }
    found = json.loads(run_python(TWO, env=env).stdout)
    assert found == {
        "same": True,
        "child": 9,
        "half": [1, 0],
        "again": "PartlyDone",
        "states": ["done", "partly", "unknown", "withdrawn"],
        "withdrawn": "Withdrawn",
        "rows": [2, 1],
    }
