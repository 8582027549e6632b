"""The handler of bytes: errors, expiry, the trace, and the log."""

from __future__ import annotations

import logging
import time

import pytest
from django.core.exceptions import ValidationError

from django_rpc.demo.server.shop.models import Customer
from django_rpc.graph.nodes import Literal
from django_rpc.server import ModelRpc, handle
from django_rpc.server.errors.texts import WITHHELD
from django_rpc.server.handler import answer
from django_rpc.server.policy.client_policy import CURRENT
from django_rpc.wire.codec import decode_response, encode_request
from django_rpc.wire.messages import ClientInfo
from tests.server.conftest import call, method, request_for, source

CUSTOMERS = source("shop.Customer")


@pytest.mark.parametrize("message", [b"", b"nonsense", b"[1]", b'{"v":99,"id":"x","nodes":[],"outputs":[]}', b"\xff"])
def test_invalid_request_gets_an_answer(message):
    answered = decode_response(handle(message))
    assert answered.error.code in ("BadMessage", "VersionMismatch")
    assert answered.id == ("x" if b'"id"' in message else "unknown")


def test_expired_request_is_not_evaluated(ask):
    answered = ask(method(CUSTOMERS, "count"), expires=time.time() - 1)
    assert answered.error.code == "RequestExpired"
    assert answered.queries == []
    assert ask(method(CUSTOMERS, "count"), expires=time.time() + 60).output == 0


def test_errors_name_the_node(ask, shop_data):
    wrong = method(method(CUSTOMERS, "filter", nope=1), "count")
    error = ask(wrong).error
    assert (error.code, error.node) == ("FieldError", 1)
    one, other = ask(Literal(value=1), wrong).outputs
    assert (one, other.code, other.node) == (1, "FieldError", 1)


def test_does_not_exist_names_the_model(ask):
    error = ask(method(CUSTOMERS, "get", pk=1)).error
    assert (error.code, error.model) == ("DoesNotExist", "shop.Customer")


def test_many_rows(ask, shop_data):
    error = ask(method(CUSTOMERS, "get")).error
    assert (error.code, error.model) == ("MultipleObjectsReturned", "shop.Customer")


class PaymentRefused(Exception):
    pass


class FailingRpc(ModelRpc):
    fields = ["id", "name"]
    methods = ["refuse", "invalid", "invalid_fields", "strange"]

    def refuse(self, request, queryset):
        raise PaymentRefused("no money")

    def invalid(self, request, queryset):
        raise ValidationError("Not %(what)s", code="bad", params={"what": "this"})

    def invalid_fields(self, request, queryset):
        raise ValidationError({"name": ["too short", ValidationError("odd", code="odd")]})

    def strange(self, request, queryset):
        return object()


def test_errors_in_service_code(ask, registered, caplog):
    registered(Customer, FailingRpc)
    error = ask(call(CUSTOMERS, "refuse")).error
    assert (error.code, error.remote_name, error.message) == (
        "Remote",
        "PaymentRefused",
        f"The service raised PaymentRefused. {WITHHELD}",
    )
    assert error.traceback is None
    assert any(record.levelno == logging.ERROR and record.exc_info for record in caplog.records)
    plain = ask(call(CUSTOMERS, "invalid")).error
    assert (plain.code, plain.message, plain.data) == (
        "ValidationError",
        "Not this",
        ["Not %(what)s", "bad", {"what": "this"}],
    )
    fields = ask(call(CUSTOMERS, "invalid_fields")).error
    assert fields.data == {"name": [["too short", None, None], ["odd", "odd", None]]}
    assert ask(call(CUSTOMERS, "strange")).error.code == "TypeError"


def test_the_traceback_only_where_it_is_wanted(ask, registered, settings_of_server):
    registered(Customer, FailingRpc)
    settings_of_server(SHOW_TRACEBACK=True)
    assert "PaymentRefused: no money" in ask(call(CUSTOMERS, "refuse")).error.traceback


def test_nothing_of_the_database_is_in_a_message(ask, shop_data):
    taken = Customer.objects.get(pk=1)
    values = {"name": "x", "email": taken.email, "city": "x", "joined": taken.joined}
    error = ask(method(CUSTOMERS, "create", **values)).error
    assert error.code == "IntegrityError"
    for word in ("shop_customer", "UNIQUE", taken.email, "sqlite"):
        assert word not in str(error)


def test_the_trace(ask, settings_of_server, shop_data):
    traced = ask(method(CUSTOMERS, "count"), trace=True).response
    assert len(traced.trace) == 1
    assert traced.trace[0].sql.startswith("SELECT COUNT(*)")
    settings_of_server(SHOW_SQL=False)
    assert ask(method(CUSTOMERS, "count"), trace=True).response.trace == ()
    assert ask(method(CUSTOMERS, "explain")).error.code == "NotSupportedError"


def test_log_names_caller_in_sanitized_text(db, caplog):
    client = ClientInfo(host="evil\n2026 INFO fake\x1b[31m" + "x" * 1000, process=7, name="shop", called_at=1.5)
    with caplog.at_level(logging.INFO, logger="django_rpc.server"):
        answer(request_for(method(CUSTOMERS, "count"), client=client, request_id="t-1"))
    (record,) = caplog.records
    assert (record.rpc_request, record.rpc_client_process, record.rpc_called_at) == ("t-1", 7, 1.5)
    assert record.rpc_client_host.startswith("evil\\n2026 INFO fake\\x1b[31mx")
    assert record.rpc_client_host.isprintable()
    assert len(record.rpc_client_host) < 250
    assert record.rpc_seconds > 0


def test_an_answer_that_cannot_be_encoded_is_an_error(db, registered):
    class SurrogateRpc(ModelRpc):
        fields = ["id"]
        methods = ["surrogate"]

        def surrogate(self, request, queryset):
            return "\ud800"

    registered(Customer, SurrogateRpc)
    answered = decode_response(handle(encode_request(request_for(call(CUSTOMERS, "surrogate")))))
    assert answered.error.code == "TypeError"


def test_the_policy_is_not_left_behind(ask):
    ask(method(CUSTOMERS, "count"))
    ask(method(CUSTOMERS, "get", pk=1))
    with pytest.raises(LookupError):
        CURRENT.get()
