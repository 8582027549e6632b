"""Every path to a hidden column is refused like an unknown name, and runs no SQL.

Each path of ``hidden_names.json`` is tried three times: with both defences (names, and the column guard), with the
column guard alone, and with none, where it has to succeed. Otherwise the test would prove nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from django_rpc.demo.server.shop.models import Customer

from .defences import DEFENCES

HIDDEN, UNKNOWN = "secret_note", "secret_nope"
PATHS = json.loads(Path(__file__).with_name("hidden_names.json").read_text())
#: Paths on which SQL would contain the name, and paths that Django refuses before it makes SQL.
SQL_PATHS, NAME_PATHS = PATHS["sql"], PATHS["name"]
#: Paths with a first node that has to run a query before the hidden name is used.
READ_FIRST = {
    *("relation", "attribute", "the element of a map", "in the body of a map", "in a where", "create of a relation"),
    "update_or_create of a relation",
}


def path(nodes, name):
    return json.loads(json.dumps(nodes).replace("NAME", name))


@pytest.fixture(autouse=True)
def secrets(shop_data):
    for customer in Customer.objects.all():
        customer.secret_note = f"secret of {customer.pk}"
        customer.save(update_fields=["secret_note"])


@pytest.mark.parametrize("name", [*SQL_PATHS, *NAME_PATHS])
def test_hidden_is_like_unknown_and_runs_no_sql(name, send):
    nodes = {**SQL_PATHS, **NAME_PATHS}[name]
    hidden, unknown = send(path(nodes, HIDDEN)), send(path(nodes, UNKNOWN))
    assert hidden.error is not None
    assert unknown.error is not None
    assert (hidden.code, hidden.error.get("node")) == (unknown.code, unknown.error.get("node"))
    assert hidden.message.replace(HIDDEN, UNKNOWN) == unknown.message
    if name not in READ_FIRST:
        assert hidden.data_statements == []


@pytest.mark.parametrize("name", SQL_PATHS)
def test_the_audit_alone_refuses_it(name, send, monkeypatch):
    DEFENCES["names"].take_out(monkeypatch)
    answered = send(path(SQL_PATHS[name], HIDDEN))
    assert answered.error is not None
    assert "secret of" not in answered.text
    if name not in READ_FIRST and name != "Prefetch queryset":  # its parents are read before it
        assert answered.data_statements == []


#: Refused by Django itself on SQLite, or for another reason, so that success cannot be shown.
CANNOT_SUCCEED = {
    *("distinct on", "update_or_create", "get_or_create", "in a query", "difference arm"),
    *("create of F", "insert of F", "update_or_create of a relation"),
}


@pytest.mark.parametrize("name", sorted(SQL_PATHS.keys() - CANNOT_SUCCEED))
def test_without_the_defences_it_succeeds(name, send, monkeypatch):
    DEFENCES["names"].take_out(monkeypatch)
    DEFENCES["audit"].take_out(monkeypatch)
    answered = send(path(SQL_PATHS[name], HIDDEN))
    # The query reached the database, whatever its result.
    of_database = ("DoesNotExist", "OperationalError", "ProgrammingError", "DataError")
    assert answered.error is None or answered.code in of_database, answered.error
    assert answered.data_statements
