"""Reports of errors: of a single row, of a single database, and of rows of a hidden model."""

from __future__ import annotations

import sqlite3
from pkgutil import resolve_name

import pytest
from django.core.exceptions import MultipleObjectsReturned
from django.db import OperationalError, connection

from django_rpc.demo.server.shop.models import Customer
from django_rpc.demo.server.zoo.models import Currency, Price
from django_rpc.errors import ERRORS
from django_rpc.graph.nodes import Attr, Element, Filter, IfElse, Literal, Map
from django_rpc.server import ModelRpc
from django_rpc.server.errors import reports as errors
from django_rpc.server.errors.sent_values import words_of
from django_rpc.server.lowering import key_columns, related_instance
from django_rpc.server.query import sqlite
from tests.server.conftest import method, source


def test_an_error_of_another_database_is_reported_as_itself():
    function = sqlite._reporting(lambda: sqlite._bounded(sqlite.MAX_LENGTH + 1))
    raw = sqlite3.connect(":memory:")
    raw.create_function("long", 0, function)
    with pytest.raises(sqlite3.OperationalError) as raised:
        raw.execute("SELECT long()")
    raw.close()
    assert isinstance(sqlite.error_behind(OperationalError(*raised.value.args)), ValueError)
    other = OperationalError("connection to server was lost")
    assert sqlite.error_behind(other) is other


class Unclear:
    def __bool__(self):
        raise ValueError("neither true nor false")


class ClearRpc(ModelRpc):
    fields = ["id", "name", "clear"]

    def clear(self, customer):
        return Unclear() if customer.name == "unclear" else True


@pytest.mark.parametrize("kind", ["cond", "where"])
def test_a_value_without_a_truth_fails_only_its_row(ask, registered, kind):
    today = "2026-01-01"
    for name in ("clear", "unclear"):
        Customer.objects.create(name=name, email=f"{name}@example.com", joined=today)
    registered(Customer, ClearRpc)
    query = method(source("shop.Customer"), "order_by", "name")
    outer, inner = Element(0), Element(1)
    test = Attr(outer, "clear")
    if kind == "cond":
        body = IfElse(test, Literal("yes"), Literal("no"))
    else:
        body = Filter(Literal([1]), inner, test)
    first, second = ask(Map(query, outer, body, True)).output
    assert first in ("yes", [1])
    assert second.code == "ValueError"


@pytest.fixture
def prices(db):
    for code in ("EUR", "USD"):
        Price.objects.create(currency=Currency.objects.create(code=code, name=code), amount=1)


def currencies(ask):
    param = Element(0)
    body = Attr(Attr(param, "currency"), "code")
    answered = ask(Map(method(source("zoo.Price"), "order_by", "pk"), param, body, False))
    assert answered.output == ["EUR", "USD"]
    return [sql for sql in answered.queries if 'FROM "zoo_currency"' in sql]


def test_keys_that_a_collation_compares_are_looked_up_by_the_database(ask, prices, monkeypatch):
    """A foreign key "usd" has the row "USD" in a database that ignores case, and Python would find no row."""
    assert len(currencies(ask)) == 1
    monkeypatch.setattr(key_columns, "_LOOSE", frozenset({"sqlite"}))
    statements = currencies(ask)
    assert len(statements) == 2
    assert not [sql for sql in statements if " IN (" in sql]


def test_a_statement_for_related_rows_has_room_for_its_values(ask, prices, monkeypatch):
    monkeypatch.setattr(related_instance, "max_values", lambda using: 1)
    assert len(currencies(ask)) == 2


def test_a_locking_request_ends_after_the_first_error_of_the_database(ask, prices):
    """PostgreSQL refuses each further statement of the transaction, and its error would hide the first error."""
    calls = []

    def fail(execute, sql, params, many, context):
        if 'FROM "zoo_price"' not in sql:
            return execute(sql, params, many, context)
        calls.append(sql)
        raise OperationalError("the first error")

    locked = method(source("zoo.Price"), "select_for_update")
    with connection.execute_wrapper(fail):
        answered = ask(*[method(locked, "get", pk=key, amount=key) for key in (1, 2)])
    assert answered.error.code == "OperationalError"
    assert len(calls) == 1


def test_several_rows_of_a_hidden_model_are_reported_as_several():
    class Policy:
        def exposure(self, model):
            return None

    several = errors.report(Customer.MultipleObjectsReturned("of secret"), policy=Policy())
    missing = errors.report(Customer.DoesNotExist("of secret"), policy=Policy())
    assert issubclass(resolve_name(ERRORS[several.code].standard), MultipleObjectsReturned)
    assert several.message != missing.message
    assert "several" in several.message
    assert "secret" not in several.message + missing.message


def test_words_of_a_text_are_its_names_and_their_parts():
    assert words_of("-customer__name, total") == {"customer__name", "customer", "name", "total"}
