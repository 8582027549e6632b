"""Queries as arguments and results of registered methods and functions."""

from __future__ import annotations

import pytest
from django.db.models import Count, Prefetch

from django_rpc.demo.server.shop.models import Customer, Line, Order
from django_rpc.server import ModelRpc, site

from .conftest import expr, method, ref

ORDERS = ["source", "shop.Order"]
METHODS = ["same", "again", "joined", "prefetched", "both", "own_prefetch", "counted", "sliced"]


class OrderRpc(ModelRpc):
    """Methods that return queries, each with other state."""

    fields = ["id", "number", "status", "customer", "products"]
    methods = METHODS

    def same(self, request, orders):
        return orders

    def again(self, request, orders):
        return orders.filter(pk__gt=0).order_by("pk")

    def joined(self, request, orders):
        return orders.select_related("customer__referred_by")

    def prefetched(self, request, orders):
        return orders.prefetch_related("customer", "lines__product")

    def both(self, request, orders):
        return orders.select_related("customer").prefetch_related("customer__referred_by")

    def own_prefetch(self, request, orders):
        return orders.prefetch_related(Prefetch("customer", Customer.objects.all()))

    def counted(self, request, orders):
        return orders.annotate(n=Count("lines"))

    def sliced(self, request, orders):
        return orders[:5]


class OwnCustomerRpc(ModelRpc):
    fields = ["id", "name", "referred_by"]

    def get_queryset(self, request):
        return super().get_queryset(request).filter(pk__lte=3)


def call(parent, name, *args):
    return ["call", parent, name, list(args), {}]


@pytest.fixture(autouse=True)
def rows(shop_data, registered):
    Customer.objects.filter(pk__lte=3).update(name="mine", referred_by=30)
    Customer.objects.filter(pk__gt=3).update(name="Secret-Name", referred_by=30, secret_note="Secret-Note")
    registered(Customer, OwnCustomerRpc)
    registered(Order, OrderRpc)


#: Steps of the client before the call.
STEPS = {
    "select_related": [method(0, "select_related", "customer")],
    "two joins": [method(0, "select_related", "customer__referred_by")],
    "all joins": [method(0, "select_related")],
    "prefetch": [method(0, "prefetch_related", "customer__referred_by")],
    "filtered relation": [
        method(0, "annotate", c=expr("FilteredRelation", "customer", condition={"$q": ["AND", False, []]})),
        method(1, "select_related", "c"),
    ],
    "only": [method(0, "only", "number"), method(1, "select_related", "customer")],
    "defer": [method(0, "select_related", "customer"), method(1, "defer", "customer__name")],
    "annotate": [method(0, "annotate", who=expr("F", "customer__name")), method(1, "select_related", "customer")],
    "slice": [method(0, "select_related", "customer"), ["item", 1, {"$slice": [0, 50, None]}]],
    "distinct": [method(0, "distinct"), method(1, "select_related", "customer")],
    "order": [method(0, "select_related", "customer"), method(1, "order_by", "customer__name", "pk")],
    "condition": [method(0, "filter", customer__pk__gt=0), method(1, "select_related", "customer")],
    "union": [
        method(0, "order_by"),
        method(1, "select_related", "customer"),
        method(2, "filter", pk__gt=20),
        method(2, "union", ref(3)),
    ],
}


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("name", METHODS)
def test_joined_hidden_rows(send, steps, name):
    nodes = [ORDERS, *STEPS[steps]]
    answered = send([*nodes, call(len(nodes) - 1, name)])
    assert "Secret" not in answered.text, answered.text
    for more in ([method(len(nodes), "select_related", "customer")], [method(len(nodes), "count")]):
        answered = send([*nodes, call(len(nodes) - 1, name), *more])
        assert "Secret" not in answered.text, answered.text


@pytest.mark.parametrize("name", METHODS)
def test_hidden_rows_joined_by_method(send, name):
    """The method decides which orders are returned, and the client's scope decides which customers are loaded."""
    answered = send([ORDERS, call(0, name)])
    assert answered.error is None
    assert "Secret" not in answered.text
    if name in ("joined", "prefetched", "both"):
        assert "mine" in answered.text


def test_functions(send):
    """A function gets the rows of a query that is its argument, and may return it."""

    def echo(orders):
        return orders

    def names(orders):
        return sorted(order.number for order in orders)

    site.function(echo, name="echo_orders", reads_only=True)
    site.function(names, name="names_of_orders", reads_only=True)
    try:
        for steps in STEPS.values():
            nodes = [ORDERS, *steps]
            for name in ("echo_orders", "names_of_orders"):
                answered = send([*nodes, ["function", name, [ref(len(nodes) - 1)], {}, True]])
                assert answered.error is None, (steps, answered.text)
                assert "Secret" not in answered.text, answered.text
    finally:
        del site.functions["echo_orders"], site.functions["names_of_orders"]


def test_related_rows_that_the_client_sees(send):
    """The client after the call, or the method, loads related rows in scope."""
    mine = Order.objects.filter(customer__lte=3).first()
    for nodes in (
        [ORDERS, method(0, "filter", pk=mine.pk), call(1, "same"), method(2, "select_related", "customer")],
        [ORDERS, method(0, "filter", pk=mine.pk), call(1, "joined")],
    ):
        answered = send(nodes)
        assert "mine" in answered.text
    line = Line.objects.filter(order=mine).first()
    if line is not None:
        answered = send([ORDERS, method(0, "filter", pk=mine.pk), call(1, "prefetched")])
        assert line.product.title in answered.text
