"""Writes are done once: deliveries again, other requests under one id, refusals, outcomes, several databases."""

from __future__ import annotations

import datetime
import time
from types import SimpleNamespace

import msgspec
import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_rpc.demo.server.shop.models import Customer, Tag
from django_rpc.graph.nodes import RequestOutcome
from django_rpc.server import ModelRpc, handle, handler, site
from django_rpc.server.checks import check_ledger
from django_rpc.server.ledger import ledger
from django_rpc.server.models import LedgerEntry
from django_rpc.wire.codec import decode_response, encode_request
from django_rpc.wire.messages import ClientInfo
from tests.server.conftest import call, method, request_for, source

TAGS = source("shop.Tag")
CUSTOMERS = source("shop.Customer")


def create(name="red"):
    return method(TAGS, "create", name=name)


def send(*outputs, **options):
    return handle(encode_request(request_for(*outputs, **options)))


def code(answer):
    error = decode_response(answer).error
    return None if error is None else error.code


def outcome(request_id, settle=False):
    (value,) = decode_response(send(RequestOutcome("rpc", request_id, settle))).outputs
    return value


@pytest.fixture
def without_ledger(settings):
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != ledger.APP]


def test_repeated_message_gets_the_same_bytes(db):
    message = encode_request(request_for(create()))
    first, second = handle(message), handle(message)
    assert code(first) is None
    assert second == first
    assert Tag.objects.count() == 1
    assert LedgerEntry.objects.count() == 1


def test_resent_request_of_other_process_is_the_same(db):
    first = send(create(), request_id="order-1", expires=time.time() + 5, client=ClientInfo(host="a", called_at=1.0))
    second = send(create(), request_id="order-1", expires=time.time() + 9, client=ClientInfo(host="b", called_at=2.0))
    assert second == first
    assert Tag.objects.count() == 1


def test_an_increment_is_not_done_twice(shop_data):
    from django_rpc.graph.values import Expr

    more = Expr("CombinedExpression", (Expr("F", ("credit",)), "+", Expr("Value", (1,))))
    before = Customer.objects.get(pk=1).credit
    message = encode_request(request_for(method(method(CUSTOMERS, "filter", pk=1), "update", credit=more)))
    assert handle(message) == handle(message) == handle(message)
    assert Customer.objects.get(pk=1).credit == before + 1


def test_another_request_under_the_same_id_is_a_conflict(db):
    send(create("red"), request_id="one")
    answer = send(create("blue"), request_id="one")
    assert code(answer) == "RequestConflict"
    assert list(Tag.objects.values_list("name", flat=True)) == ["red"]


def test_ids_are_case_sensitive(db):
    assert code(send(create("a"), request_id="key")) is None
    assert code(send(create("b"), request_id="KEY")) is None


def test_reads_have_no_entry_and_are_done_again(db):
    message = encode_request(request_for(method(TAGS, "count")))
    handle(message)
    Tag.objects.create(name="later")
    assert decode_response(handle(message)).outputs == (1,)
    assert not LedgerEntry.objects.exists()


def test_refusal_is_stored(shop_data):
    get = method(CUSTOMERS, "get", pk=9999)
    message = encode_request(request_for(method(TAGS, "get_or_create", name="x"), method(get, "delete")))
    first = handle(message)
    assert code(first) == "DoesNotExist"
    Customer.objects.create(pk=9999, name="n", email="n@example.org", joined="2025-01-01")
    assert code(handle(message)) == "DoesNotExist"
    assert Customer.objects.filter(pk=9999).exists()
    assert not Tag.objects.filter(name="x").exists()
    assert LedgerEntry.objects.get().state == "refused"


def test_refused_expression_runs_no_sql(db):
    with CaptureQueriesContext(connection) as queries:
        answer = send(method(TAGS, "create", nope=1))
    assert code(answer) in ("FieldError", "TypeError")
    assert [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]] == []


def test_an_answer_that_cannot_be_sent_is_a_refusal_and_nothing_is_written(db, registered):
    class Rpc(ModelRpc):
        fields = ["id", "name"]
        methods = ["make"]

        def make(self, request, queryset):
            return Tag.objects.create(name="made") and "\ud800"

    registered(Tag, Rpc)
    assert code(send(call(TAGS, "make"))) == "TypeError"
    assert not Tag.objects.exists()


def test_duplicate_hidden_by_service_code_is_detected(db, registered):
    class Rpc(ModelRpc):
        fields = ["id", "name"]
        methods = ["careless"]

        def careless(self, request, queryset):
            try:
                return Tag.objects.create(name="made").pk
            except Exception:  # noqa: BLE001
                return "hidden"

    registered(Tag, Rpc)
    message = encode_request(request_for(call(TAGS, "careless")))
    assert handle(message) == handle(message)


def test_late_message_gets_stored_answer(db, monkeypatch):
    expires = time.time() + 60
    message = encode_request(request_for(create(), expires=expires))
    first = handle(message)
    monkeypatch.setattr(handler, "time", SimpleNamespace(**{**vars(time), "time": lambda: expires + 1}))
    assert handle(message) == first
    assert code(send(create("late"), expires=expires)) == "RequestExpired"
    assert Tag.objects.count() == 1


def test_request_outcomes(db):
    answer = send(create(), request_id="done")
    send(method(TAGS, "create", name="red"), request_id="refused")
    assert outcome("done")["state"] == "done"
    assert outcome("done")["answer"].encode() == answer
    assert outcome("refused")["state"] == "refused"
    assert '"IntegrityError"' in outcome("refused")["answer"]
    assert outcome("never") == {"state": "unknown"}


def test_withdrawn_request_is_not_done(db):
    assert outcome("late", settle=True)["state"] == "withdrawn"
    assert code(send(create(), request_id="late")) == "Withdrawn"
    assert not Tag.objects.exists()
    send(create(), request_id="done")
    assert outcome("done", settle=True)["state"] == "done"


def test_ids_belong_to_their_client(db):
    send(create(), request_id="one")
    assert ledger.look_up("anonymous", "one") is not None
    assert ledger.look_up("another", "one") is None


def test_without_the_app_writes_run_as_they_did(db, without_ledger):
    message = encode_request(request_for(method(TAGS, "get_or_create", name="a")))
    assert handle(message) != handle(message)  # created, and then found
    assert code(send(RequestOutcome("rpc", "x"))) == "NoLedger"
    assert code(send(create("b"), once=True)) == "NoLedger"
    assert not Tag.objects.filter(name="b").exists()


def test_failing_database_reports_unknown_outcome(db, monkeypatch):
    def broken(*args):
        raise DatabaseError("gone")

    monkeypatch.setattr(ledger, "_insert", broken)
    assert code(send(create(), request_id="x")) == "OutcomeUnknown"


def test_partial_commit_is_reported(db):
    send(create(), request_id="two")
    LedgerEntry.objects.update(databases="default,other")
    assert outcome("two")["state"] == "partly"
    assert code(send(create(), request_id="two")) == "PartlyDone"
    assert Tag.objects.count() == 1


def test_entry_is_rolled_back_with_caller_transaction(db):
    with transaction.atomic():
        send(create(), request_id="x")
        transaction.set_rollback(True)
    assert outcome("x")["state"] == "unknown"
    assert code(send(create(), request_id="x")) is None


def test_stored_answer_has_no_trace(db):
    traced = msgspec.json.decode(send(create(), request_id="x", trace=True))
    again = msgspec.json.decode(send(create(), request_id="x", trace=True))
    assert traced.pop("trace")
    assert again == traced


def test_entry_survives_rolled_back_savepoint(db, registered):
    class Rpc(ModelRpc):
        fields = ["id", "name"]
        methods = ["tries"]

        def tries(self, request, queryset):
            try:
                with transaction.atomic(), transaction.atomic():
                    Tag.objects.create(name="tried")
                    raise ValueError
            except ValueError:
                return Tag.objects.create(name="made").pk

    registered(Tag, Rpc)
    message = encode_request(request_for(call(TAGS, "tries")))
    assert handle(message) == handle(message)
    assert code(handle(message)) is None
    assert list(Tag.objects.values_list("name", flat=True)) == ["made"]


def test_an_empty_savepoint_is_no_statement(db):
    with CaptureQueriesContext(connection) as queries:
        answer = send(method(TAGS, "update_or_create", nope=1))
    assert code(answer) == "FieldError"
    assert "INSERT" not in str(queries.captured_queries)


def test_code_of_the_service_that_runs_no_sql_is_not_run_twice(db, registered):
    sent = []

    class Rpc(ModelRpc):
        fields = ["id", "name"]
        methods = ["mail", "fail"]

        def mail(self, request, queryset):
            sent.append("a letter")
            return len(sent)

        def fail(self, request, queryset):
            sent.append("another")
            raise ValueError("no such street")

    registered(Tag, Rpc)
    for name in ("mail", "fail"):
        message = encode_request(request_for(call(TAGS, name)))
        assert handle(message) == handle(message)
    assert sent == ["a letter", "another"]


def test_old_entries_are_pruned(db, capsys):
    send(create("old"), request_id="old")
    send(create("new"), request_id="new")
    LedgerEntry.objects.filter(request="old").update(at=timezone.now() - datetime.timedelta(days=8))
    call_command("rpc_prune")
    assert capsys.readouterr().out == "default: 1 entries older than 7 days deleted.\n"
    assert [entry.request for entry in LedgerEntry.objects.all()] == ["new"]
    with pytest.raises(CommandError, match="these have: default"):
        call_command("rpc_prune", database="rpc")
    call_command("rpc_prune", days=0)
    assert not LedgerEntry.objects.exists()


def test_beat_prunes_by_the_workers_task(db, monkeypatch):
    from django_rpc.celery import task
    from django_rpc.celery.app import app

    monkeypatch.setattr(task, "close_old_connections", lambda: None)
    send(create(), request_id="old")
    LedgerEntry.objects.update(at=timezone.now() - datetime.timedelta(days=8))
    (entry,) = app.conf.beat_schedule.values()
    assert app.tasks[entry["task"]].apply().result == {"default": 1}


def test_check_warns_of_missing_ledger(without_ledger):
    assert [found.id for found in check_ledger()] == ["django_rpc.W021"]


def test_the_check_is_content_with_a_ledger_and_with_readers(settings, monkeypatch):
    assert check_ledger() == []
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != ledger.APP]
    monkeypatch.setattr(site, "_registry", {})
    monkeypatch.setattr(site, "functions", {})
    assert check_ledger() == []


def test_forwarded_values_again_are_the_same_request(db):
    """Each publication has its id, which its forwarded values have too. Only their content identifies the request."""
    import json

    from django_rpc.demo.server.shop.models import Tag
    from django_rpc.server.handler import serve

    nodes = [["source", "shop.Tag"], ["method", 0, "create", [], {"name": {"$given": [0, 0]}}]]

    def sent(number, value):
        message = json.dumps(
            {"v": 1, "id": "handed-1", "nodes": nodes, "outputs": [1], "once": True, "given": [{"id": "a1"}]}
        )
        message_id = f"handed-1::{number}"
        box = {"a1": json.dumps({"v": 1, "id": message_id, "outputs": [value]}).encode()}
        return json.loads(serve(message.encode(), None, message_id, box=lambda origins: box).answer)

    first = sent(1, "handed once")
    assert "error" not in first
    assert sent(2, "handed once") == first
    assert sent(3, "another value")["error"]["code"] == "RequestConflict"
    assert Tag.objects.filter(name__in=["handed once", "another value"]).count() == 1
