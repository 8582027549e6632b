"""The cached selections of a connection never show a client the columns of another client."""

from __future__ import annotations

from django.db import connections

from django_rpc.demo.server.shop.models import Customer
from django_rpc.graph.nodes import Rows
from django_rpc.graph.values import Record
from django_rpc.server.query.select_cache import selections_of
from tests.server.conftest import method, source

WIDE = ("id", "name", "secret_note")


def rows(*columns):
    return Rows(parent=method(source("shop.Customer"), "filter", pk=1), columns=columns)


def test_cached_columns_are_checked_for_each_client(ask, shop_data, registered):
    registered(Customer, fields=WIDE)
    kept = len(selections_of(connections["default"]))
    assert ask(rows("name", "secret_note")).error is None
    assert ask(rows("name", "secret_note")).error is None
    assert len(selections_of(connections["default"])) > kept
    registered(Customer, fields=("id", "name"))
    refused = ask(rows("name", "secret_note"))
    assert refused.error.code == "FieldError"
    assert refused.queries == []
    assert ask(rows("name", "id")).error is None


def test_instances_have_visible_fields_of_each_client(ask, shop_data, registered):
    first = method(method(source("shop.Customer"), "order_by", "id"), "first")
    for fields in (WIDE, ("id", "name"), WIDE):
        registered(Customer, fields=fields)
        record = ask(first).output
        assert isinstance(record, Record)
        assert set(record.fields) == set(fields)


def test_cached_selection_has_rows_of_new_selection(ask, shop_data):
    query = rows("id", "joined", "credit", "active")
    selections_of(connections["default"]).clear()
    new = ask(query).output
    assert selections_of(connections["default"])
    assert ask(query).output == new
