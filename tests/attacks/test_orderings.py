"""``Meta.ordering`` with hidden fields: neither the order of rows nor an error reveals them."""

from __future__ import annotations

import pytest
from django.db.models import (
    BooleanField,
    Case,
    CharField,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    Func,
    Max,
    OuterRef,
    Q,
    Value,
    When,
    Window,
)
from django.db.models.expressions import OrderBy, RawSQL, Subquery
from django.db.models.functions import Cast, Collate, Concat, Length, Lower, Rank
from django.db.models.lookups import GreaterThan

from django_rpc.demo.server.shop.models import Customer, Order

from .conftest import expr, method

CUSTOMERS, ORDERS = ["source", "shop.Customer"], ["source", "shop.Order"]
NOTE = "secret_note"


class Sneaky(Func):
    template = "secret_note"
    output_field = CharField()


class OwnF(F):
    """A reference of the project."""


HIDDEN = {
    "name": NOTE,
    "descending name": f"-{NOTE}",
    "F": F(NOTE),
    "nulls last": F(NOTE).desc(nulls_last=True),
    "OrderBy": OrderBy(F(NOTE), nulls_first=True),
    "function": Lower(NOTE),
    "descending function": Lower(NOTE).desc(),
    "nested function": Concat(Lower(NOTE), Value("x")),
    "condition": Case(When(secret_note="mine", then=0), default=1),
    "condition by Q": Case(When(Q(Q(secret_note="mine") | Q(name="x")), then=0), default=1).desc(),
    "condition by lookup": Case(When(secret_note__startswith="m", then=0), default=1),
    "condition with a value": Case(When(name=F(NOTE), then=0), default=1),
    "value of a condition": Case(When(name="x", then=F(NOTE)), default=Value("")),
    "relation": F(f"referred_by__{NOTE}"),
    "condition by relation": Case(When(referred_by__secret_note="mine", then=0), default=1),
    "negated condition": Case(When(~Q(secret_note__gt="m"), then=0), default=1),
    "comparison": GreaterThan(F(NOTE), Value("m")),
    "wrapped condition": ExpressionWrapper(Q(secret_note__gt="m"), output_field=BooleanField()).desc(),
    "condition through a relation to many": Case(When(orders__customer__secret_note="x", then=0), default=1),
    "cast": Cast(NOTE, CharField()),
    "sum": F("id") + Length(NOTE),
    "window": Window(Rank(), order_by=F(NOTE).asc()),
    "aggregate": Max(NOTE),
    "filter of an aggregate": Count("id", filter=Q(secret_note="x")),
    "transform by name": f"{NOTE}__lower",
    "own class of F": OwnF(NOTE),
    "collation": Collate(F(NOTE), "nocase"),
    "template": Func(F("name"), template=NOTE, output_field=CharField()),
    "own class": Sneaky(F("name")),
    "SQL": RawSQL("secret_note", ()),
    "subquery": Subquery(Customer.objects.filter(pk=OuterRef("pk")).values(NOTE)),
    "exists": Exists(Customer.objects.filter(pk=OuterRef("pk"), secret_note="mine")),
}


@pytest.fixture(autouse=True)
def rows(shop_data, registered):
    for customer in Customer.objects.all():
        Customer.objects.filter(pk=customer.pk).update(secret_note=f"note-{99 - customer.pk}")
    registered(Customer, fields=["id", "name", "referred_by"])
    registered(Order, fields=["id", "customer"])


@pytest.mark.parametrize("kind", HIDDEN)
def test_a_hidden_field_orders_nothing(send, monkeypatch, kind):
    for ordering in ([HIDDEN[kind]], [HIDDEN[kind], "pk"], [HIDDEN[kind], Lower("name")]):
        monkeypatch.setattr(Customer._meta, "ordering", ordering)
        for nodes in (
            [CUSTOMERS, method(0, "values_list", "id", flat=True)],
            [CUSTOMERS, method(0, "reverse"), method(1, "values_list", "id", flat=True)],
            [CUSTOMERS, method(0, "first")],
            [CUSTOMERS, method(0, "order_by", "referred_by"), method(1, "values_list", "id", flat=True)],
            [ORDERS, method(0, "order_by", "customer"), method(1, "values_list", "id", flat=True)],
            [ORDERS, method(0, "order_by", "-customer__referred_by"), method(1, "values_list", "id", flat=True)],
            [ORDERS, method(0, "order_by", "customer"), method(1, "first")],
            [ORDERS, method(0, "prefetch_related", "customer"), method(1, "first")],
            [CUSTOMERS, method(0, "get", pk=1), ["attr", 1, "referrals"], method(2, "count")],
        ):
            answered = send(nodes)
            assert "secret" not in answered.text, (nodes, answered.text)
            assert "note" not in answered.text
            assert not any("ORDER BY" in sql and "secret" in sql.split("ORDER BY")[-1] for sql in answered.statements)
            # Django itself cannot prefix the condition of a Case by the relation.
            assert answered.error is None or answered.error["code"] == "AttributeError", (nodes, answered.text)


@pytest.mark.parametrize("ordering", [[Lower("name")], [F("name").desc(nulls_last=True), "pk"], ["-name", "id"]])
def test_a_visible_field_orders(send, monkeypatch, ordering):
    monkeypatch.setattr(Customer._meta, "ordering", ordering)
    expected = list(Order.objects.order_by("customer", "pk").values_list("pk", flat=True))
    assert (
        send([ORDERS, method(0, "order_by", "customer", "pk"), method(1, "values_list", "id", flat=True)]).output
        == expected
    )
    expected = list(Customer.objects.values_list("pk", flat=True))
    assert send([CUSTOMERS, method(0, "values_list", "id", flat=True)]).output == expected


def test_a_visible_condition_orders(send, monkeypatch):
    """The model itself may be ordered by it; Django cannot follow a relation to it."""
    monkeypatch.setattr(Customer._meta, "ordering", [Case(When(name__startswith="A", then=0), default=1), "-pk"])
    expected = list(Customer.objects.values_list("pk", flat=True))
    assert send([CUSTOMERS, method(0, "values_list", "id", flat=True)]).output == expected


def test_an_order_of_the_client_names_an_unknown_field(send):
    for order in (expr("Lower", "customer__secret_note"), "customer__secret_note"):
        answered = send([ORDERS, method(0, "order_by", order), method(1, "values_list", "id")])
        unknown = send([ORDERS, method(0, "order_by", "customer__secret_nope"), method(1, "values_list", "id")])
        assert (answered.code, unknown.code) == ("FieldError", "FieldError")
