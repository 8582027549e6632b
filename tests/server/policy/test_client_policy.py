"""Rows that do not exist for a client do not exist in any corner of a query, nor for a write."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace

import pytest
from django.db.models import Count, Sum

from django_rpc.demo.server.shop.models import Customer, Line, Order, Product, Tag
from django_rpc.demo.server.zoo.models import Place, Restaurant
from django_rpc.graph.nodes import Attr, Insert, Item, Literal, Rows, Save
from django_rpc.graph.values import Condition, Expr, Reference
from django_rpc.server import ModelRpc
from tests.server.conftest import method, source

ALL = {"read", "create", "update", "delete"}
CUSTOMERS, ORDERS, LINES = source("shop.Customer"), source("shop.Order"), source("shop.Line")


class NarrowCustomerRpc(ModelRpc):
    """Customers by a field that is not exposed itself."""

    fields = ["id", "name", "email", "city", "joined", "credit", "referred_by", "notes"]
    operations = ALL

    def get_queryset(self, request):
        return super().get_queryset(request).filter(secret_note="mine")


class NarrowOrderRpc(ModelRpc):
    """Orders by a join: those of our customers."""

    fields = ["id", "customer", "number", "status", "total", "products"]
    operations = ALL

    def get_queryset(self, request):
        return super().get_queryset(request).filter(customer__secret_note="mine")


@pytest.fixture(autouse=True)
def narrow(shop_data, registered):
    Customer.objects.filter(pk__in=[2, 3, 5, 7, 11, 13, 36, 38]).update(secret_note="mine")
    registered(Customer, NarrowCustomerRpc)


@pytest.fixture
def ours():
    return Customer.objects.filter(secret_note="mine")


@pytest.fixture
def orders_of_ours(ours):
    return Order.objects.filter(customer__in=ours)


def test_the_root(ask, ours):
    assert ask(method(CUSTOMERS, "count")).output == ours.count()
    assert set(ask(method(CUSTOMERS, "values_list", "pk", flat=True)).output) == {c.pk for c in ours}
    assert ask(method(CUSTOMERS, "get", pk=1)).error.code == "DoesNotExist"
    assert not ask(method(method(CUSTOMERS, "filter", pk=1), "exists")).output


def test_group_by_and_annotations(ask, ours):
    answered = ask(method(method(CUSTOMERS, "annotate", n=Expr("Count", ("orders",))), "values_list", "pk", "n"))
    assert sorted(answered.output) == sorted(ours.annotate(n=Count("orders")).values_list("pk", "n"))
    grouped = ask(Rows(parent=method(CUSTOMERS, "annotate", n=Expr("Count", ("orders",))), columns=("id", "n")))
    assert sorted(grouped.output.rows) == sorted(answered.output)
    cities = ask(method(method(CUSTOMERS, "values", "city"), "annotate", n=Expr("Count", ("pk",)))).output
    assert sum(row["n"] for row in cities) == ours.count()


def test_joins(ask, orders_of_ours):
    named = method(method(ORDERS, "filter", customer__name__gt=""), "count")
    assert ask(named).output == orders_of_ours.count()
    rows = ask(Rows(parent=ORDERS, columns=("id", "customer__name"))).output.rows
    assert {pk for pk, name in rows if name is not None} == {o.pk for o in orders_of_ours}
    deep = method(method(LINES, "filter", order__customer__city__gt=""), "count")
    assert ask(deep).output == Line.objects.filter(order__in=orders_of_ours).count()


def test_reverse_and_many_to_many_joins(ask, orders_of_ours):
    products = source("shop.Product")
    total = method(products, "aggregate", x=Expr("Count", ("orders__customer__name",)))
    assert ask(total).output["x"] == Line.objects.filter(order__in=orders_of_ours).count()
    bought = method(method(method(products, "filter", orders__customer__name__gt=""), "distinct"), "count")
    assert ask(bought).output == Product.objects.filter(orders__in=orders_of_ours).distinct().count()


def test_an_unseen_row_is_like_none_in_a_left_join(ask, ours):
    rows = ask(Rows(parent=CUSTOMERS, columns=("id", "referred_by__name"))).output.rows
    seen = {c.pk: c.name for c in ours}
    for customer in ours:
        assert dict(rows)[customer.pk] == seen.get(customer.referred_by_id)


def test_nested_queries(ask, orders_of_ours):
    nested = method(method(ORDERS, "filter", customer__in=method(CUSTOMERS, "values", "pk")), "count")
    assert ask(nested).output == orders_of_ours.count()
    exists = method(
        ORDERS, "filter", Expr("Exists", (method(CUSTOMERS, "filter", pk=Expr("OuterRef", ("customer",))),))
    )
    assert ask(method(exists, "count")).output == orders_of_ours.count()
    excluded = method(method(ORDERS, "exclude", customer__in=method(CUSTOMERS, "values", "pk")), "count")
    assert ask(excluded).output == Order.objects.count() - orders_of_ours.count()


def test_union(ask, ours):
    both = method(
        method(method(CUSTOMERS, "filter", pk__lt=20), "values_list", "pk"),
        "union",
        method(method(CUSTOMERS, "filter", pk__gte=20), "values_list", "pk"),
    )
    assert {row[0] for row in ask(both).output} == {c.pk for c in ours}


def test_select_related_and_prefetch(ask, registered, ours, orders_of_ours):
    table = ask(method(ORDERS, "select_related", "customer")).output
    assert {row[0] for row in table.rows} == {o.pk for o in orders_of_ours}
    registered(Order, NarrowOrderRpc)
    product = Line.objects.filter(order__in=orders_of_ours).first().product
    found = ask(method(method(source("shop.Product"), "prefetch_related", "orders__customer"), "get", pk=product.pk))
    orders = dict(zip(found.output.fields, found.output.values, strict=True))["orders"]
    assert {row[0] for row in orders.rows} == {o.pk for o in orders_of_ours.filter(products=product)}


def test_attributes_and_relations(ask, orders_of_ours):
    theirs = Order.objects.exclude(pk__in=orders_of_ours).first()
    customer = Attr(parent=method(ORDERS, "get", pk=theirs.pk), name="customer")
    assert ask(customer).error.code == "DoesNotExist"
    claimed = Literal(value=Reference("shop.Customer", theirs.customer_id))
    assert ask(Attr(parent=claimed, name="name")).error.code == "DoesNotExist"
    assert ask(method(Attr(parent=claimed, name="orders"), "count")).error.code == "DoesNotExist"
    assert ask(method(claimed, "delete")).error.code == "DoesNotExist"


def test_scope_by_a_join(ask, registered, orders_of_ours):
    registered(Order, NarrowOrderRpc)
    assert ask(method(ORDERS, "count")).output == orders_of_ours.count()
    lines = method(method(LINES, "filter", order__number__gt=""), "count")
    assert ask(lines).output == Line.objects.filter(order__in=orders_of_ours).count()
    total = ask(method(CUSTOMERS, "aggregate", x=Expr("Sum", ("orders__total",)))).output["x"]
    assert total == orders_of_ours.aggregate(x=Sum("total"))["x"]


def test_update_and_delete(ask, ours):
    assert ask(method(CUSTOMERS, "update", city="Ours")).output == ours.count()
    assert Customer.objects.filter(city="Ours").count() == ours.count()
    assert ask(method(method(CUSTOMERS, "filter", pk=1), "update", city="x")).output == 0
    assert ask(method(method(CUSTOMERS, "filter", pk=1), "delete")).output == (0, {})
    assert Customer.objects.filter(pk=1).exists()
    got = ask(method(CUSTOMERS, "getset", city="Set")).output
    assert {row["id"] for row in got} == {c.pk for c in ours}
    assert {row["city"] for row in got} == {"Ours"}
    before = Customer.objects.count()
    assert ask(method(method(CUSTOMERS, "filter", pk__lt=12), "delete")).output[1]["shop.Customer"] == 5
    assert Customer.objects.count() == before - 5


def test_update_and_delete_filtered_by_a_join(ask, orders_of_ours):
    wanted = orders_of_ours.count()
    assert ask(method(method(ORDERS, "filter", customer__city__gt=""), "update", status="paid")).output == wanted
    assert ask(method(method(ORDERS, "filter", customer__city__gt=""), "delete")).output[1]["shop.Order"] == wanted


def test_bulk_update(ask):
    assert ask(method(CUSTOMERS, "bulk_update", ("city",), [(1, "x"), (2, "y")])).output == 1
    assert Customer.objects.get(pk=1).city != "x"
    assert Customer.objects.get(pk=2).city == "y"


@pytest.mark.parametrize("pk", [1, 99999])
def test_a_foreign_key_points_to_seen_rows_only(ask, pk):
    values = {"customer": pk, "number": "n-1", "total": 1}
    assert ask(method(ORDERS, "create", **values)).error.code == "ValidationError"
    claimed = {**values, "customer": Reference("shop.Customer", pk)}
    assert ask(method(ORDERS, "create", **claimed)).error.code == "ValidationError"
    assert ask(method(method(ORDERS, "filter", pk=1), "update", customer=pk)).error.code == "ValidationError"
    saved = Save(model="shop.Order", service="", values={"customer_id": pk, "number": "n-1"}, adding=True)
    assert ask(saved).error.code == "ValidationError"
    rows = Insert(model="shop.Order", service="", fields=("customer_id", "number"), rows=((pk, "n-1"),))
    assert ask(rows).error.code == "ValidationError"
    related = method(Attr(parent=method(CUSTOMERS, "get", pk=2), name="referrals"), "add", pk)
    assert ask(related).error.code == "DoesNotExist"
    copied = method(ORDERS, "update", customer=Expr("F", ("id",)))
    assert ask(copied).error.code == "PermissionDenied"


def test_a_save_reaches_no_unseen_row(ask):
    before = Customer.objects.get(pk=1).name
    values = {"id": 1, "name": "taken", "email": "t@example.org", "city": "x", "joined": dt.date(2025, 1, 1)}
    for options in (
        {"adding": False},
        {"adding": True},
        {"adding": False, "force_update": True},
        {"adding": True, "force_update": True},
        {"adding": False, "update_fields": ("name",)},
        {"adding": True, "update_fields": ("name",)},
        {"adding": True, "raw": True},
        {"adding": False, "raw": True},
    ):
        answered = ask(Save(model="shop.Customer", service="", values=values, **options))
        assert answered.error.code in ("IntegrityError", "DatabaseError"), options
        assert Customer.objects.get(pk=1).name == before


def test_a_written_row_has_to_be_seen_afterwards(ask):
    values = {"name": "n", "email": "n@example.org", "city": "x", "joined": dt.date(2025, 1, 1)}
    assert ask(method(CUSTOMERS, "create", **values)).error.code == "PermissionDenied"
    assert not Customer.objects.filter(email="n@example.org").exists()


def test_count_of_distinct_and_slices(ask, ours):
    sliced = Item(parent=method(CUSTOMERS, "order_by", "pk"), key=slice(0, 3, None))
    assert ask(method(sliced, "count")).output == min(3, ours.count())
    assert ask(method(method(CUSTOMERS, "distinct"), "count")).output == ours.count()
    empty = method(CUSTOMERS, "filter", Condition((("pk__in", []),)))
    assert ask(method(empty, "count")).output == 0


def test_a_child_is_seen_where_its_parent_is(ask, registered):
    class OpenPlaceRpc(ModelRpc):
        fields = ["id", "name"]
        operations = {"read", "update"}

        def get_queryset(self, request):
            return super().get_queryset(request).filter(open=True)

    registered(Place, OpenPlaceRpc)
    Restaurant.objects.create(name="open", rating=1)
    shut = Restaurant.objects.create(name="shut", open=False, rating=2)
    restaurants = source("zoo.Restaurant")
    assert ask(method(restaurants, "count")).output == 1
    assert ask(method(restaurants, "values_list", "rating", flat=True)).output == [1.0]
    assert ask(method(method(restaurants, "filter", pk=shut.pk), "update", rating=5)).output == 0


def test_nothing_at_all(ask, registered):
    class NoneRpc(ModelRpc):
        fields = ["id", "name"]

        def get_queryset(self, request):
            return super().get_queryset(request).none()

    registered(Tag, NoneRpc)
    assert ask(method(source("shop.Tag"), "count")).output == 0
    assert ask(method(source("shop.Tag"), "values_list", "name")).output == []
    products = method(method(source("shop.Product"), "filter", tags__name__gt=""), "count")
    assert ask(products).output == 0
    rows = ask(Rows(parent=source("shop.Product"), columns=("id", "tags__name"))).output.rows
    assert {name for _, name in rows} == {None}
    through = source("shop.Product.tags")
    assert ask(method(through, "count")).output == 0


def test_a_lock_that_the_database_would_not_hold(ask, registered, monkeypatch):
    """MySQL and MariaDB do not lock the rows of a nested query, which the rows of a scoped client are."""
    locked = method(method(CUSTOMERS, "select_for_update"), "count")
    products = method(method(source("shop.Product"), "select_for_update"), "count")
    mysql = SimpleNamespace(vendor="mysql")
    monkeypatch.setattr("django_rpc.server.evaluate.queries.connections", {"default": mysql})
    assert ask(locked).error.code == "NotSupportedError"
    assert ask(products).error is None
    monkeypatch.setattr(mysql, "vendor", "postgresql")
    assert ask(locked).error is None
