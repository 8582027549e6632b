"""Physical plans: the physical read that ``explain()`` reports for each logical read."""

from __future__ import annotations

import pytest

from django_rpc.demo.server.shop.models import Customer
from django_rpc.graph.nodes import Attr, Element, Item, Literal, Map
from django_rpc.server import ModelRpc

from ..conftest import call, method, source

CUSTOMERS, ORDERS = source("shop.Customer"), source("shop.Order")
ROW = Element()
OF_ROW = method(ORDERS, "filter", customer=ROW)

BODIES = {
    "count": (method(OF_ROW, "count"), "grouped aggregate"),
    "exists": (method(Attr(ROW, "orders"), "exists"), "grouped aggregate"),
    "first": (method(OF_ROW, "first"), "window slice"),
    "item": (Item(method(OF_ROW, "order_by", "pk"), 1), "window slice"),
    "slice": (Literal([Item(method(OF_ROW, "order_by", "pk"), slice(0, 2))]), "window slice"),
    "get": (method(CUSTOMERS, "get", pk=Attr(ROW, "referred_by_id")), "batched lookup"),
    "rows": (Literal([OF_ROW]), "batched lookup"),
    "rows of a relation": (Literal([Attr(ROW, "orders")]), "batched lookup"),
    "a relation to one": (Attr(ROW, "referred_by"), "related instances"),
    "a comparison": (method(method(ORDERS, "filter", total__gt=Attr(ROW, "credit")), "count"), "correlated subquery"),
    "a column that is no key": (method(ORDERS, "get", total=Attr(ROW, "credit")), "loop"),
    "a method without a physical read": (method(OF_ROW, "in_bulk"), "loop"),
    "code of the service": (call(Attr(ROW, "orders"), "paid"), "loop"),
}


@pytest.fixture
def plan(ask):
    """``plan(node, ...)``: the kind of each physical read by the index of its node, and the details."""

    def plan(*nodes):
        answered = ask(*nodes, asking="explain")
        assert answered.error is None
        return answered.response.reads

    return plan


@pytest.mark.parametrize("name", BODIES)
def test_kind_of_a_read_for_each_element(plan, shop_data, name):
    body, kind = BODIES[name]
    assert [read.kind for read in plan(Map(parent=CUSTOMERS, param=ROW, body=body))] == [kind]


def test_attribute_without_a_statement_has_no_read(plan, shop_data):
    assert plan(Map(parent=CUSTOMERS, param=ROW, body=Attr(ROW, "name"))) == ()


def test_reads_of_one_template_are_planned_once(plan, shop_data):
    (read,) = plan(*[method(CUSTOMERS, "get", pk=number) for number in (1, 2, 3)])
    assert (read.node, read.kind, read.detail) == (1, "batched lookup", "one statement by pk")


def test_single_read_needs_no_plan(plan, shop_data):
    assert plan(method(CUSTOMERS, "get", pk=1)) == ()


def test_loop_has_the_reason_of_the_first_rule(plan, shop_data):
    (read,) = plan(*[method(ORDERS, "get", pk__gt=number) for number in (1, 2)])
    assert read.kind == "loop"
    assert read.detail == "a statement for each value: no column separates the rows of different values of pk__gt=..."


def test_map_that_writes_is_a_loop(plan, shop_data):
    body = Literal([method(OF_ROW, "count"), method(OF_ROW, "update", status="paid")])
    (read,) = plan(Map(parent=CUSTOMERS, param=ROW, body=body))
    assert (read.kind, read.detail) == ("loop", "a map that writes handles one element after the other")


class ShoutRpc(ModelRpc):
    fields = ["id", "name", "shout"]

    def shout(self, customer):
        return customer.name.upper()


def test_computed_field_is_a_loop(plan, registered, shop_data):
    registered(Customer, ShoutRpc)
    (read,) = plan(Map(parent=CUSTOMERS, param=ROW, body=Attr(ROW, "shout")))
    assert (read.kind, read.detail) == ("loop", "code of the service is called for each element")


def test_elements_of_two_models_have_no_known_model(plan, shop_data):
    body = Literal([Attr(ROW, "referred_by")])
    assert plan(Map(parent=CUSTOMERS, param=ROW, body=body), Map(parent=ORDERS, param=ROW, body=Attr(ROW, "pk"))) == ()
