"""The audit log: a record for each write and each refusal, true after a rollback as well, and no value in it."""

from __future__ import annotations

import json
import logging
import time

import pytest
from django.core.cache import cache
from django.db import connection, transaction

from django_rpc.celery.app import app as worker_app
from django_rpc.demo.server.shop.models import Customer, Product, Tag
from django_rpc.graph.nodes import Attr, Element, Function, Insert, Literal, Map, Save
from django_rpc.server import ModelRpc, handler
from django_rpc.server.core import instrumentation as observed
from django_rpc.server.core import rate_limit as rates
from django_rpc.server.ledger import ledger
from django_rpc.telemetry import audit, operations
from django_rpc.wire.codec import encode_request
from django_rpc.wire.messages import ClientInfo
from tests.server.conftest import call, method, request_for, source
from tests.server.core.test_authenticate import ATTACKS, DATA, SECRET, message, token

CUSTOMERS, TAGS = source("shop.Customer"), source("shop.Tag")
MARK = "a value of a client"


@pytest.fixture
def log(caplog):
    """``log()``: the audit records since the last time."""
    caplog.set_level(logging.INFO, "django_rpc.audit")

    def taken():
        found = [record for record in caplog.records if record.name == "django_rpc.audit"]
        caplog.clear()
        return found

    return taken


@pytest.fixture
def only(log):
    """``only()``: the one audit record."""

    def one():
        (record,) = log()
        return record

    return one


def first(query=CUSTOMERS):
    return method(method(query, "order_by", "pk"), "first")


def two():
    return method(method(CUSTOMERS, "filter", pk__in=[1, 2]), "all")


class WritingRpc(ModelRpc):
    fields = ["id", "name"]
    operations = {"read", "create", "update", "delete"}
    methods = ["shout", "try_two", "raw"]

    def shout(self, request, queryset):
        return queryset.update(name="!")

    def try_two(self, request, queryset):
        Tag.objects.create(name="kept")
        try:
            with transaction.atomic():
                Tag.objects.create(name="taken back")
                raise ValueError
        except ValueError:
            return 1

    def raw(self, request, queryset):
        with connection.cursor() as cursor:
            cursor.execute("insert or ignore into no_model (number) values (1), (2)")


WRITES = {
    "create": (lambda: method(TAGS, "create", name=MARK), "shop.Tag.create", {"shop.Tag": 1}),
    "get_or_create": (lambda: method(TAGS, "get_or_create", name=MARK), "shop.Tag.get_or_create", {"shop.Tag": 1}),
    "update": (lambda: method(two(), "update", notes=MARK), "shop.Customer.update", {"shop.Customer": 2}),
    "bulk_update": (
        lambda: method(CUSTOMERS, "bulk_update", ["notes"], [(1, MARK), (2, MARK)]),
        "shop.Customer.bulk_update",
        {"shop.Customer": 2},
    ),
    "getset": (lambda: method(two(), "getset", notes=MARK), "shop.Customer.getset", {"shop.Customer": 2}),
    "delete": (lambda: method(method(TAGS, "filter", name="to go"), "delete"), "shop.Tag.delete", {"shop.Tag": 1}),
    "save": (
        lambda: Save("shop.Tag", "rpc", {"name": MARK}, adding=True),
        "shop.Tag.save",
        {"shop.Tag": 1},
    ),
    "bulk_create": (
        lambda: Insert("shop.Tag", "rpc", ("name",), ((MARK,), ("b",), ("c",)), ("id",)),
        "shop.Tag.bulk_create",
        {"shop.Tag": 3},
    ),
    "a relation": (
        lambda: method(Attr(first(source("shop.Product")), "tags"), "set", [1]),
        "shop.Product.tags.set",
        {"shop.Product_tags": 1},
    ),
    "a function": (
        lambda: Function("rpc", "rename_tag", (first(TAGS), MARK)),
        "rename_tag()",
        {"shop.Tag": 1},
    ),
}


def mapped(query):
    param = Element()
    body = method(method(CUSTOMERS, "filter", pk=Attr(param, "pk")), "update", notes=MARK)
    return Map(query, param, body)


@pytest.fixture
def rows(shop_data):
    Tag.objects.create(name="to go")
    Product.objects.order_by("pk")[0].tags.clear()


@pytest.mark.parametrize("kind", WRITES)
def test_each_kind_of_write(ask, rows, only, kind):
    node, name, written = WRITES[kind]
    info = ClientInfo(host="shop-1", process=7, name="manage.py")
    assert ask(node(), client=info, request_id=f"w-{kind.split()[0]}").error is None
    record = only()
    assert (record.rpc_outcome, record.rpc_code, record.rpc_client) == ("done", "", "anonymous")
    assert (record.rpc_writes, record.rpc_written) == ([name], written)
    assert record.rpc_rows_written == sum(written.values())
    assert record.rpc_request == f"w-{kind.split()[0]}"
    assert (record.rpc_client_host, record.rpc_client_process) == ("shop-1", 7)
    assert MARK not in json.dumps(vars(record), default=str) + record.getMessage()


@pytest.fixture
def own_code(rows, registered):
    registered(Customer, WritingRpc)


def test_registered_method_is_recorded(ask, own_code, only):
    assert ask(call(two(), "shout")).error is None
    assert only().rpc_written == {"shop.Customer": 2}


def test_a_map_that_writes(ask, rows, only):
    assert ask(mapped(two())).error is None
    record = only()
    assert (record.rpc_writes, record.rpc_written) == (["shop.Customer.update"], {"shop.Customer": 2})


def test_rolled_back_writes_are_not_counted(ask, own_code, only):
    assert ask(call(CUSTOMERS, "try_two")).error is None
    assert only().rpc_written == {"shop.Tag": 1}


def test_a_table_without_a_model(ask, own_code, only):
    with connection.cursor() as cursor:
        cursor.execute("create table no_model (number integer)")
    assert ask(call(CUSTOMERS, "raw")).error is None
    assert only().rpc_written == {"no_model": 2}


def test_reads_have_no_record(ask, rows, log):
    assert ask(method(CUSTOMERS, "count"), first()).error is None
    assert ask(method(CUSTOMERS, "get", pk=-1)).error.code == "DoesNotExist"
    assert log() == []


def test_rolled_back_is_not_done(ask, rows, only):
    both = Literal([method(TAGS, "create", name="x"), method(method(CUSTOMERS, "get", pk=-1), "delete")])
    assert ask(both).error.code == "DoesNotExist"
    record = only()
    assert (record.rpc_outcome, record.rpc_code) == ("failed", "DoesNotExist")
    assert (record.rpc_written, record.rpc_rows_written) == ({}, 0)
    assert record.rpc_writes == ["shop.Tag.create", "shop.Customer.delete"]
    assert "0 rows written" in record.getMessage()
    assert not Tag.objects.filter(name="x").exists()


def test_a_commit_that_fails_is_not_done(settings_of_server, rows, only, monkeypatch):
    def fails(*args):
        raise TypeError("the answer cannot be kept")

    monkeypatch.setattr(ledger.Entry, "keep", fails)
    handler.handle(encode_request(request_for(method(TAGS, "create", name="x"))))
    assert (only().rpc_outcome, Tag.objects.filter(name="x").exists()) == ("failed", False)


def test_the_service_fails(ask, rows, only, monkeypatch):
    monkeypatch.setattr(handler, "answer", lambda *args: 1 / 0)
    assert ask(method(TAGS, "create", name="x")).error.code == "Remote"
    assert (only().rpc_outcome, Tag.objects.filter(name="x").exists()) == ("failed", False)


def test_a_worker_that_is_killed_leaves_a_record_where_it_can(rows, only, monkeypatch):
    def killed(*args):
        raise SystemExit

    monkeypatch.setattr(handler, "_handle", killed)
    with pytest.raises(SystemExit):
        handler.handle(DATA)
    assert only().rpc_outcome == "unknown"


def test_repeated_message_is_recorded(rows, log):
    data = encode_request(request_for(method(TAGS, "create", name="once"), request_id="again-1"))
    assert handler.handle(data) == handler.handle(data)
    done, again = log()
    assert [done.rpc_outcome, again.rpc_outcome] == ["done", "again"]
    assert [done.rpc_rows_written, again.rpc_rows_written] == [1, 0]
    other = encode_request(request_for(method(TAGS, "create", name="other"), request_id="again-1"))
    handler.handle(other)
    (conflict,) = log()
    assert (conflict.rpc_outcome, conflict.rpc_code) == ("refused", "RequestConflict")


def test_an_explanation_writes_nothing(ask, rows, log):
    assert ask(method(TAGS, "create", name="x"), asking="explain").error is None
    assert log() == []
    ask(method(TAGS, "create", secret="x"), asking="explain")
    ask(method(source("shop.AuditEntry"), "create", model="x"), asking="explain")
    (record,) = log()
    assert (record.rpc_outcome, record.rpc_refusals) == ("done", ["PermissionDenied"])


# Refusals


@pytest.fixture
def clients(settings_of_server, db):
    cache.clear()
    settings_of_server(SERVICE="stock", CLIENTS={"shop": {"keys": {"new": SECRET}, "limits": {"rows": 3}}})
    yield
    cache.clear()


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_bad_signature(clients, only, attack):
    handler.handle(*ATTACKS[attack]())
    record = only()
    assert (record.rpc_outcome, record.rpc_code, record.rpc_client) == ("refused", "RequestRefused", "")
    assert record.rpc_reason
    assert SECRET not in str(vars(record))


def test_a_replay(clients, log):
    made = token(DATA)
    handler.handle(DATA, made)
    assert log() == []
    handler.handle(DATA, made, "t-1")
    (record,) = log()
    assert (record.rpc_outcome, record.rpc_reason, record.rpc_request) == ("refused", "it is a replay.", "t-1")


def test_another_id_in_the_message(clients, only):
    other = encode_request(request_for(method(CUSTOMERS, "count"), request_id="t-9"))
    handler.handle(other, token(other))
    record = only()
    assert (record.rpc_outcome, record.rpc_code, record.rpc_client) == ("refused", "RequestRefused", "shop")


NAMES = {
    "a field": (lambda: method(CUSTOMERS, "filter", secret_note="x"), "FieldError", "secret_note"),
    "a field to write": (lambda: method(CUSTOMERS, "update", secret_note="x"), "FieldDoesNotExist", "secret_note"),
    "an attribute": (lambda: Attr(first(), "secret_note"), "AttributeError", ""),
    "a model": (lambda: method(source("auth.User"), "count"), "UnknownModel", "auth.User"),
    "a function": (lambda: Function("rpc", "drop_all", ()), "UnknownFunction", "drop_all"),
    "a method": (lambda: call(CUSTOMERS, "wipe"), "AttributeError", ""),
    "an operation": (lambda: method(source("shop.AuditEntry"), "create", model="x"), "PermissionDenied", ""),
}


@pytest.mark.parametrize("kind", NAMES)
def test_each_denied_name(ask, rows, only, kind):
    node, code, said = NAMES[kind]
    assert ask(node()).error.code == code
    record = only()
    assert (record.rpc_outcome, record.rpc_code, record.rpc_client) == ("refused", code, "anonymous")
    assert said in record.rpc_reason


def test_denied_name_among_several(ask, rows, only):
    """Hidden in a batch that is answered, or in a list in it."""
    param = Element()
    element = Map(two(), param, method(method(CUSTOMERS, "filter", secret_note=MARK), "count"), errors=True)
    for outputs in [(method(CUSTOMERS, "filter", secret_note=MARK), first()), (element, first())]:
        assert ask(*outputs).error is None
        record = only()
        assert (record.rpc_outcome, record.rpc_refusals) == ("done", ["FieldError"])
        assert MARK not in str(vars(record))


def limited(**limits):
    return {"CLIENTS": {"anonymous": {"limits": limits}}}


LIMITS = {
    "rows": ({"rows": 3}, lambda: CUSTOMERS, "TooManyRows"),
    "statements": ({"statements": 1}, lambda: Literal([first(), method(TAGS, "count")]), "TooManyStatements"),
    "response_bytes": ({"response_bytes": 50}, lambda: CUSTOMERS, "ResponseTooLarge"),
    "seconds": ({"seconds": 1e-9}, lambda: CUSTOMERS, "DeadlineExceeded"),
    "message_bytes": ({"message_bytes": 5}, lambda: CUSTOMERS, "MessageTooLarge"),
    "nodes": ({"nodes": 1}, lambda: first(), "TooManyNodes"),
    "depth": ({"depth": 2}, lambda: Literal([[[[[1]]]]]), "MessageTooDeep"),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_each_limit(ask, rows, only, settings_of_server, limit):
    limits, node, code = LIMITS[limit]
    settings_of_server(**limited(**limits))
    assert ask(node()).error.code == code
    record = only()
    assert (record.rpc_outcome, record.rpc_code) == ("refused", code)


@pytest.fixture
def uncounted():
    cache.clear()
    rates.forget()
    yield
    cache.clear()
    rates.forget()


def test_too_many_requests(ask, rows, log, settings_of_server, uncounted):
    settings_of_server(**limited(requests=1))
    ask(first())
    assert ask(first()).error.code == "TooManyRequests"
    (record,) = log()
    assert (record.rpc_outcome, record.rpc_code, record.rpc_client) == ("refused", "TooManyRequests", "anonymous")


def test_a_write_beyond_a_limit_is_not_done(ask, rows, only, settings_of_server):
    settings_of_server(**limited(rows=3))
    assert ask(Literal([method(TAGS, "create", name="x"), CUSTOMERS])).error.code == "TooManyRows"
    record = only()
    assert (record.rpc_outcome, record.rpc_rows_written) == ("refused", 0)
    assert not Tag.objects.filter(name="x").exists()


@pytest.mark.parametrize("data", [b"nonsense", b'{"v":99,"id":"t-1","nodes":[],"outputs":[]}'])
def test_invalid_request_is_recorded(db, only, data):
    handler.handle(data, None, "t-1\nfake")
    record = only()
    assert record.rpc_outcome == "refused"
    assert record.rpc_request == "t-1\\nfake"
    assert "\n" not in record.getMessage()


def test_too_late(ask, rows, only):
    ask(method(TAGS, "create", name="x"), expires=time.time() - 1)
    assert (only().rpc_outcome, Tag.objects.filter(name="x").exists()) == ("refused", False)


def test_message_with_celery_signatures_is_recorded(db, only):
    task = worker_app.tasks["django_rpc.call"]
    task.apply(args=(message().decode(),), task_id="t-1", link=[task.s("x")])
    record = only()
    assert (record.rpc_outcome, record.rpc_code, record.rpc_request) == ("refused", "BadRequest", "t-1")


def test_a_process_that_is_lost(db, only):
    from billiard.exceptions import WorkerLostError

    from django_rpc.celery.task import _answer_for_the_lost

    _answer_for_the_lost(worker_app.tasks["django_rpc.call"], "t-1", WorkerLostError("signal 9"), ("",), {})
    record = only()
    assert (record.rpc_outcome, record.rpc_code, record.rpc_request) == ("unknown", "WorkerLost", "t-1")


# Values, and operations without records


def test_values_on_request(ask, rows, only, settings_of_server):
    settings_of_server(CLIENTS={"anonymous": {}}, OBSERVERS=["django_rpc.telemetry.audit.audit_with_values"])
    ask(method(TAGS, "create", name=f"{MARK}\nfake"))
    (value,) = only().rpc_values
    assert value == f"Tag.objects.create(name='{MARK}\\nfake')"


def test_no_records_without_listener(ask, rows, caplog, monkeypatch, settings_of_server):
    # Other tests of this process may have imported the library that metrics need.
    settings_of_server(CLIENTS={"anonymous": {}}, OBSERVERS=["django_rpc.telemetry.audit.audit"])
    caplog.set_level(logging.WARNING, "django_rpc.audit")
    monkeypatch.setattr(operations, "writes", lambda *args: pytest.fail("worked out"))
    monkeypatch.setattr(observed, "RowCounts", lambda *args: pytest.fail("worked out"))
    assert ask(method(TAGS, "create", name="x")).error is None


def test_failing_observer_does_not_stop_request(ask, rows, settings_of_server, caplog, monkeypatch):
    def fails(*args):
        raise ZeroDivisionError

    monkeypatch.setattr(audit, "breaks_at_once", fails, raising=False)
    monkeypatch.setattr(audit, "breaks_later", lambda message: fails, raising=False)
    names = [f"django_rpc.telemetry.audit.{name}" for name in ("breaks_at_once", "breaks_later", "audit")]
    settings_of_server(CLIENTS={"anonymous": {}}, OBSERVERS=names)
    caplog.set_level(logging.INFO, "django_rpc.audit")
    assert ask(method(TAGS, "create", name="x")).error is None
    assert [record.name for record in caplog.records if record.name != "django_rpc.server"] == [
        "django_rpc.telemetry",
        "django_rpc.audit",
        "django_rpc.telemetry",
    ]


def test_a_hostile_chain_is_not_walked_for_each_of_its_writes(rows, only):
    chain = CUSTOMERS
    for _ in range(2_000):
        chain = method(chain, "all")
    request = request_for(*[method(chain, "update", notes="x") for _ in range(2_000)])
    started = time.thread_time()
    names = operations.writes(request)
    assert time.thread_time() - started < 1
    assert len(names) <= 21
