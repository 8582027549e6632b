"""``explain()``: SQL is built and never run, and refusals are reported."""

import pytest
from django.db import connection

from django_rpc.graph.delayed.delayed import Delayed
from django_rpc.graph.nodes import Attr, Element, Map, ModelSource
from django_rpc.wire.messages import NodeCost
from tests.server.conftest import call, method, source

CUSTOMERS, ORDERS = source("shop.Customer"), source("shop.Order")


@pytest.fixture
def explain(ask):
    """The answer; SQLite itself reports the executed SQL, since Django's log contains other statements too."""

    def explain(*nodes):
        connection.ensure_connection()
        ran = []
        if connection.vendor == "sqlite":
            connection.connection.set_trace_callback(ran.append)
        try:
            answered = ask(*nodes, asking="explain")
        finally:
            if connection.vendor == "sqlite":
                connection.connection.set_trace_callback(None)
        assert [sql for sql in ran if not sql.startswith("SELECT QUOTE(")] == []  # so Django shows parameters
        assert answered.error is None
        assert answered.outputs == ()
        return answered.response

    return explain


def test_a_statement_is_built_and_not_run(explain, shop_data):
    said = explain(method(ORDERS, "count"))
    (built,) = said.trace
    assert built.sql.startswith("SELECT COUNT(*)")
    assert built.node == 1
    assert said.costs == (NodeCost(1, 1, 0.0, 0, 1),)
    assert (said.refused, said.later) == ((), ())


def test_query_output_and_nested_query(explain, shop_data):
    vip = method(CUSTOMERS, "filter", tier="vip")
    (built,) = explain(method(ORDERS, "filter", customer__in=vip)).trace
    assert "IN (SELECT" in built.sql


def test_reads_of_equal_shape_are_one_statement(explain, shop_data):
    said = explain(*[method(CUSTOMERS, "get", pk=number) for number in range(1, 101)])
    assert len(said.trace) == 1
    assert " IN (" in said.trace[0].sql
    assert said.later == ()


def test_outputs_of_equal_shape(explain, shop_data):
    said = explain(*[method(ORDERS, "filter", customer=number) for number in range(1, 11)])
    assert len(said.trace) == 1


def test_sql_that_depends_on_row_is_known_later(explain, shop_data):
    first = method(ORDERS, "first")
    said = explain(method(Attr(parent=Attr(parent=first, name="customer"), name="orders"), "count"))
    assert len(said.trace) == 1
    assert said.later == (4,)


def test_map_shows_its_query(explain, shop_data):
    row = Element()
    body = method(method(ORDERS, "filter", customer=row), "count")
    said = explain(Map(parent=CUSTOMERS, param=row, body=body))
    assert len(said.trace) == 1
    assert 'FROM "shop_customer"' in said.trace[0].sql
    assert len(said.later) == 1


def test_nothing_that_writes_is_called(explain, local, shop_data):
    before = local.Order.objects.count()
    made = method(ORDERS, "create", customer=method(CUSTOMERS, "first"), total=5)
    said = explain(method(ORDERS, "delete"), made, method(ORDERS, "count"))
    assert local.Order.objects.count() == before
    assert len(said.trace) == 2  # of the customer, and the count
    assert len(said.later) == 2
    assert said.refused == ()


def test_no_registered_method_is_called(explain, registered, local, shop_data):
    def boom(self, request, queryset):
        raise AssertionError("it was called")

    registered(local.Tag, fields="__all__", methods=["boom"], boom=boom)
    said = explain(call(source("shop.Tag"), "boom"), call(source("shop.Tag"), "bang"))
    assert said.later == (1,)
    (refused,) = said.refused
    assert refused.code == "AttributeError"
    assert "bang" in refused.message


def test_refusals_of_all_kinds_at_once(explain, shop_data):
    nodes = [
        method(method(ORDERS, "filter", nmber=1), "count"),
        method(source("shop.Nothing"), "count"),
        method(source("shop.AuditEntry"), "create", model="x"),
        method(source("shop.AuditEntry"), "delete"),
        method(CUSTOMERS, "values", "secret_note"),
        method(ORDERS, "count"),
    ]
    said = explain(*nodes)
    assert sorted(one.code for one in said.refused) == [
        "FieldError",
        "FieldError",
        "PermissionDenied",
        "PermissionDenied",
        "UnknownModel",
    ]
    assert len(said.trace) == 1
    assert all(one.node is not None for one in said.refused)


def test_a_query_that_locks_is_built_in_a_transaction(ask, shop_data):
    response = ask(method(method(ORDERS, "select_for_update"), "first"), asking="explain").response
    assert response.refused == ()
    assert len(response.trace) == 1


def test_without_show_sql_only_counts_are_shown(explain, settings_of_server, shop_data):
    settings_of_server(SHOW_SQL=False)
    said = explain(method(ORDERS, "count"))
    assert said.trace == ()
    assert said.costs == (NodeCost(1, 1, 0.0, 0, 1),)


def test_values_without_database_are_evaluated(explain):
    said = explain(method(method(ORDERS, "none"), "count"))
    assert (said.trace, said.later, said.refused) == ((), (), ())


@pytest.mark.django_db(databases=["default", "rpc"])
def test_the_words_of_the_client(remote, shop_data, settings):
    text = remote.Order.objects.delayed().filter(pk__gt=1).count().explain()
    assert "  SQL of Order.objects.filter(pk__gt=1).count(): SELECT COUNT(*)" in text
    assert "SQL" not in remote.Order.objects.delayed().count().explain(ask=False)
    assert "SQL" not in remote.Order.objects.delayed().count().plan().explain()
    assert "SQL of" in remote.Order.objects.delayed().count().plan().explain(ask=True)
    settings.DJANGO_RPC = {**settings.DJANGO_RPC, "SHOW_SQL": False}
    text = remote.Order.objects.delayed().count().explain()
    assert "  SQL of Order.objects.count(): 1 statement, not shown" in text
    wrong = remote.Order.objects.delayed().filter(nmber=1).count().explain()
    assert "  refused: Order.objects.filter(nmber=1): FieldError: Cannot resolve keyword 'nmber'" in wrong


def test_unknown_service_is_reported():
    text = Delayed(ModelSource("shop.Order", "nowhere")).count().explain()
    assert "SQL is unknown: NoRunner" in text
