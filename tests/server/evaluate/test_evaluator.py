"""Evaluation of nodes: queries, rows, records, writes."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import django
import pytest
from django.db.models import Count, F

from django_rpc.demo.server.shop.models import AuditEntry, Customer, Line, Order, Product, Profile, Tag
from django_rpc.demo.server.zoo.models import Bookmark, Everything, Person, Place, Restaurant
from django_rpc.graph.nodes import Attr, Column, Insert, Item, Literal, Operator, Rows, Save
from django_rpc.graph.values import Condition, Expr, Record, Reference, Table
from tests.server.conftest import method, source

CUSTOMERS, ORDERS, PRODUCTS, TAGS = (source(f"shop.{name}") for name in ("Customer", "Order", "Product", "Tag"))
NEW = {"name": "n", "email": "n@example.org", "city": "x", "joined": dt.date(2025, 1, 1)}


@pytest.fixture(autouse=True)
def data(shop_data):
    return shop_data


def as_dict(record):
    return dict(zip(record.fields, record.values, strict=True))


# Reads


def test_a_nested_query_is_one_statement(ask):
    vip = method(method(CUSTOMERS, "filter", tier="vip"), "values", "pk")
    answered = ask(method(method(ORDERS, "filter", customer__in=vip), "count"))
    assert answered.output == Order.objects.filter(customer__tier="vip").count()
    assert len(answered.queries) == 1


def test_ten_dependent_steps_in_one_request(ask):
    first = method(method(ORDERS, "order_by", "pk"), "first")
    customer = Attr(parent=first, name="customer")
    name = Attr(parent=customer, name="name")
    shout = Operator(name="add", args=(method(name, "upper"), "!"))
    order = Order.objects.order_by("pk").first()
    assert ask(shout, customer).outputs[0] == f"{order.customer.name.upper()}!"


def test_rows_have_the_requested_order(ask):
    query = method(method(CUSTOMERS, "annotate", n=Expr("Count", ("orders",))), "order_by", "pk")
    rows = ask(Rows(parent=query, columns=("n", "name", "id"))).output
    assert rows.columns == ("n", "name", "id")
    assert rows.rows == list(Customer.objects.annotate(n=Count("orders")).order_by("pk").values_list("n", "name", "id"))


def test_rows_of_values_are_permuted(ask):
    query = method(
        method(method(CUSTOMERS, "values", "city"), "annotate", n=Expr("Count", ("pk",))), "order_by", "city"
    )
    expected = list(Customer.objects.values("city").annotate(n=Count("pk")).order_by("city").values_list("n", "city"))
    assert ask(Rows(parent=query, columns=("n", "city"))).output.rows == expected
    assert ask(Rows(parent=query, columns=("city",))).output.rows == [(city,) for _, city in expected]
    assert ask(Rows(parent=query, columns=("tier",))).error.code == "FieldError"


def test_rows_are_the_databases_values_with_the_backends_converters(ask):
    everything = Everything.objects.create(
        decimal=Decimal("1.50"), duration=dt.timedelta(1, 2, 3), json={"a": [1, None]}, binary=b"\x00\xff"
    )
    columns = ("id", "decimal", "duration", "json", "binary", "boolean", "uuid")
    (row,) = ask(Rows(parent=method(source("zoo.Everything"), "filter", pk=everything.pk), columns=columns)).output.rows
    assert row[1:3] == (Decimal("1.50"), dt.timedelta(1, 2, 3))
    assert row[3] == '{"a": [1, null]}'  # the client's JSONField reads it
    assert row[4:6] == (b"\x00\xff", everything.boolean)
    assert row[6] == everything.uuid


def test_computed_columns(ask):
    query = Item(parent=method(ORDERS, "order_by", "pk"), key=slice(0, 5, None))
    answered = ask(Rows(parent=query, columns=("is_large", "id", "customer__display_name", "customer__order_count")))
    expected = [
        (order.is_large, order.pk, order.customer.display_name(), order.customer.orders.count())
        for order in Order.objects.order_by("pk")[:5]
    ]
    assert answered.output.rows == expected
    used = ask(method(method(ORDERS, "filter", is_large=True), "count")).error
    assert (used.code, used.message) == (
        "FieldError",
        "'is_large' is computed by the service: it can be read, and not be used in a query.",
    )
    assert ask(method(ORDERS, "order_by", "is_large")).error.code == "FieldError"


def test_column_for_prefetch(ask):
    rows = Rows(parent=method(ORDERS, "order_by", "pk"), columns=("id", "customer_id"))
    customers = method(method(CUSTOMERS, "filter", pk__in=Column(parent=rows, name="customer_id")), "count")
    answered = ask(rows, customers)
    assert answered.outputs[1] == Customer.objects.filter(orders__isnull=False).distinct().count()
    assert len(answered.queries) == 2  # the rows are read once


def test_through_columns(ask):
    tag_ids = [tag.pk for tag in Tag.objects.all()[:3]]
    query = method(
        method(PRODUCTS, "filter", tags__in=tag_ids),
        "through_columns",
        rpc_through__tag_id=("shop.Product.tags", "tag_id"),
    )
    found = ask(Rows(parent=query, columns=("id", "rpc_through__tag_id"))).output.rows
    through = Product.tags.through.objects.filter(tag_id__in=tag_ids).values_list("product_id", "tag_id")
    assert sorted(found) == sorted(through)


def test_records_have_the_requested_shape(ask):
    first = Customer.objects.get(pk=1)
    every = ask(method(CUSTOMERS, "get", pk=1)).output
    assert every.model == "shop.Customer"
    assert "secret_note" not in every.fields
    assert as_dict(every)["display_name"] == first.display_name()
    some = ask(method(CUSTOMERS, "get", pk=1), shapes={"shop.Customer": ("name", "referred_by")})
    assert some.output == Record("shop.Customer", ("id", "name", "referred_by_id"), (1, first.name, None))
    assert len(some.queries) == 1
    wrong = ask(method(CUSTOMERS, "get", pk=1), shapes={"shop.Customer": ("secret_note",)})
    assert wrong.error.code == "FieldError"


def test_a_query_becomes_a_table(ask):
    query = method(method(CUSTOMERS, "filter", pk__lte=3), "order_by", "pk")
    table = ask(query, shapes={"shop.Customer": ("name",)}).output
    assert table == Table(
        "shop.Customer", ("id", "name"), list(Customer.objects.filter(pk__lte=3).values_list("id", "name"))
    )


def test_relations_are_returned_with_instances(ask):
    query = method(
        method(ORDERS, "select_related", "customer"),
        "prefetch_related",
        "lines__product",
        Expr("Prefetch", ("products",), {"queryset": method(PRODUCTS, "filter", price__gt=100), "to_attr": "dear"}),
    )
    answered = ask(method(query, "get", pk=3), shapes={"shop.Customer": ("name",), "shop.Product": ("sku",)})
    found = as_dict(answered.output)
    order = Order.objects.get(pk=3)
    assert found["customer"] == Record("shop.Customer", ("id", "name"), (order.customer_id, order.customer.name))
    assert len(found["lines"].rows) == order.lines.count()
    assert len(found["dear"].rows) == order.products.filter(price__gt=100).count()
    assert len(answered.queries) == 4


def test_terminals(ask):
    assert ask(method(ORDERS, "aggregate", n=Expr("Count", ("pk",)))).output == {"n": Order.objects.count()}
    assert set(ask(method(CUSTOMERS, "in_bulk", [1, 2])).output) == {1, 2}
    assert ask(method(method(CUSTOMERS, "order_by", "pk"), "last")).output.values[0] == Customer.objects.last().pk
    assert ask(method(method(CUSTOMERS, "filter", pk=0), "first")).output is None
    assert ask(method(CUSTOMERS, "contains", Reference("shop.Customer", 1))).output is True
    assert ask(method(ORDERS, "latest")).output.values[0] == Order.objects.latest().pk
    assert ask(method(ORDERS, "dates", "created", "year")).output == list(Order.objects.dates("created", "year"))
    assert "shop_order" in ask(method(ORDERS, "explain")).output
    sliced = Item(parent=method(CUSTOMERS, "order_by", "pk"), key=2)
    assert ask(sliced).output.values[0] == Customer.objects.order_by("pk")[2].pk


def test_the_clients_ordering(ask):
    by_number = method(ORDERS, "default_ordering", "number")
    assert ask(method(by_number, "values_list", "pk", flat=True)).output == list(
        Order.objects.order_by("number").values_list("pk", flat=True)
    )
    explicit = method(method(ORDERS, "order_by", "pk"), "default_ordering", "number")
    assert ask(method(explicit, "first")).output.values[0] == Order.objects.order_by("pk").first().pk
    grouped = method(
        method(method(ORDERS, "values", "status"), "annotate", n=Expr("Count", ("pk",))), "default_ordering", "number"
    )
    assert len(ask(grouped).output) == Order.objects.order_by().values("status").distinct().count()


def test_generic_and_inherited_models(ask):
    bookmark = Bookmark.objects.create(url="https://example.org")
    bookmark.tags.create(tag="a")
    tagged = method(method(source("zoo.Bookmark"), "filter", tags__tag="a"), "count")
    assert ask(tagged).output == 1
    Restaurant.objects.create(name="r", rating=4.5)
    found = ask(method(method(source("zoo.Restaurant"), "filter", name="r", rating__gt=4), "get")).output
    assert as_dict(found)["name"] == "r"
    child = method(method(source("zoo.Place"), "filter", restaurant__rating__gt=4), "count")
    assert ask(child).output == 1


# Writes


def test_create_runs_save_signals_and_defaults(ask):
    made = as_dict(ask(method(ORDERS, "create", customer=Reference("shop.Customer", 1), total=5)).output)
    order = Order.objects.get(pk=made["id"])
    assert made["number"] == order.number != ""
    assert AuditEntry.objects.filter(object_pk=str(order.pk), action="create").exists()


def test_three_dependent_writes_are_one_transaction(ask):
    customer = method(CUSTOMERS, "create", **NEW)
    order = method(ORDERS, "create", customer=customer, total=5)
    line = method(source("shop.Line"), "create", order=order, product=method(PRODUCTS, "first"), quantity=2)
    assert ask(line).error is None
    assert Line.objects.get(order__customer__email="n@example.org").quantity == 2
    failing = method(CUSTOMERS, "create", **{**NEW, "email": "m@example.org"})
    again = method(CUSTOMERS, "create", **{**NEW, "email": "m@example.org"})
    answered = ask(failing, again)
    assert (answered.error.code, answered.error.node) == ("IntegrityError", 2)
    assert not Customer.objects.filter(email="m@example.org").exists()


def test_reads_open_no_transaction(ask, django_assert_num_queries):
    assert not any("SAVEPOINT" in sql or "BEGIN" in sql for sql in ask(method(ORDERS, "count")).queries)
    assert any("SAVEPOINT" in sql for sql in ask(method(method(ORDERS, "filter", pk=0), "update", total=1)).queries)


def test_update_delete_and_getset(ask):
    before = Product.objects.get(pk=1).price
    raised = method(
        method(PRODUCTS, "filter", pk=1),
        "update",
        price=Expr("CombinedExpression", (Expr("F", ("price",)), "+", Expr("Value", (1,)))),
    )
    assert ask(raised).output == 1
    assert ask(method(method(PRODUCTS, "filter", pk=1), "getset", price=Decimal("9.00"))).output == [
        {"id": 1, "price": before + 1}
    ]
    assert Product.objects.get(pk=1).price == 9
    tag = Tag.objects.create(name="gone")
    assert ask(method(method(TAGS, "filter", pk=tag.pk), "delete")).output == (1, {"shop.Tag": 1})
    protected = ask(method(method(PRODUCTS, "filter", lines__isnull=False), "delete")).error
    assert protected.code == "ProtectedError"
    assert {record.model for record in protected.data} == {"shop.Line"}


def test_get_or_create_and_update_or_create(ask):
    record, created = ask(method(TAGS, "get_or_create", name="one")).output
    assert created
    assert ask(method(TAGS, "get_or_create", name="one")).output == (record, False)
    found, created = ask(method(CUSTOMERS, "update_or_create", pk=1, defaults={"city": "New"})).output
    assert (created, as_dict(found)["city"]) == (False, "New")
    assert Customer.objects.get(pk=1).secret_note  # hidden values stay


def test_save_returns_changed_fields(ask):
    values = {"id": None, "customer_id": 1, "number": "", "total": Decimal("5.00")}
    created, changed = ask(
        Save(model="shop.Order", service="", values=values, adding=True), shapes={"shop.Order": ("status", "total")}
    ).output
    order = Order.objects.get(pk=changed["id"])
    assert created
    assert changed == {"id": order.pk, "number": order.number, "status": "new"}
    again = Save(model="shop.Order", service="", values={**values, "id": order.pk, "number": "n-2"}, adding=False)
    assert ask(again).output == (False, {"id": order.pk})
    assert Order.objects.get(pk=order.pk).number == "n-2"
    more = Expr("CombinedExpression", (Expr("F", ("total",)), "+", Expr("Value", (1,))))
    expression = Save(model="shop.Order", service="", values={"id": order.pk, "total": more}, adding=False)
    # Since Django 6.0, save() reads the value of an expression.
    made = {"total": Decimal(6)} if django.VERSION >= (6, 0) else {}
    assert ask(expression).output == (False, {"id": order.pk, **made})
    assert Order.objects.get(pk=order.pk).total == 6


def test_save_keeps_unsent_fields(ask):
    secret = Customer.objects.get(pk=1).secret_note
    Customer.objects.filter(pk=1).update(secret_note="kept")
    ask(Save(model="shop.Customer", service="", values={"id": 1, "name": "new"}, adding=False))
    customer = Customer.objects.get(pk=1)
    assert (customer.name, customer.secret_note) == ("new", "kept")
    assert secret != "kept"


def test_insert(ask):
    made = ask(Insert(model="shop.Tag", service="", fields=("name",), rows=(("a",), ("b",)), returning=("id",))).output
    assert made == [(tag.pk,) for tag in Tag.objects.filter(name__in="ab").order_by("name")]
    ignored = Insert(model="shop.Tag", service="", fields=("name",), rows=(("a",), ("c",)), on_conflict="ignore")
    assert ask(ignored).error is None
    assert Tag.objects.filter(name__in="abc").count() == 3


def test_relations_are_changed(ask):
    product = method(PRODUCTS, "get", pk=1)
    tags = Attr(parent=product, name="tags")
    ids = [tag.pk for tag in Tag.objects.all()[:2]]
    assert ask(method(tags, "set", ids)).error is None
    assert set(Product.objects.get(pk=1).tags.values_list("pk", flat=True)) == set(ids)
    ask(method(tags, "remove", ids[0]))
    ask(method(tags, "create", name="made"))
    ask(method(tags, "get_or_create", name="got"))
    assert set(Product.objects.get(pk=1).tags.values_list("name", flat=True)) >= {"made", "got"}
    ask(method(tags, "clear"))
    assert not Product.objects.get(pk=1).tags.exists()
    products = Attr(parent=method(ORDERS, "get", pk=3), name="products")
    unsold = Product.objects.exclude(lines__order=3).first()
    ask(method(products, "add", unsold.pk, through_defaults={"quantity": 7}))
    assert Line.objects.get(order=3, product=unsold).quantity == 7
    assert ask(method(products, "add", 1, through_defaults={"nope": 7})).error.code == "FieldDoesNotExist"
    assert ask(method(products, "add", 1, nope=7)).error.code == "TypeError"
    referrals = Attr(parent=method(CUSTOMERS, "get", pk=1), name="referrals")
    ask(method(referrals, "add", Reference("shop.Customer", 2)))
    assert Customer.objects.get(pk=2).referred_by_id == 1
    made = method(Attr(parent=method(CUSTOMERS, "get", pk=1), name="orders"), "create", total=3)
    assert as_dict(ask(made).output)["customer_id"] == 1
    friends = Attr(parent=method(source("zoo.Person"), "create", name="a"), name="friends")
    ask(method(friends, "create", name="b"))
    assert Person.objects.get(name="b").friends.get().name == "a"


def test_methods_of_instances(ask):
    order = method(ORDERS, "get", pk=3)
    assert ask(method(order, "delete")).output[1]["shop.Order"] == 1
    assert not Order.objects.filter(pk=3).exists()
    profile = Profile.objects.first()
    claimed = Literal(value=Reference("shop.Profile", profile.pk))
    assert as_dict(ask(method(claimed, "refresh")).output)["bio"] == profile.bio


# Values


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (Operator(name="add", args=(1, 2)), 3),
        (Operator(name="mul", args=(Decimal("1.5"), 2)), Decimal("3.0")),
        (Operator(name="contains", args=([1, 2], 2)), True),
        (Operator(name="neg", args=(5,)), -5),
        (Item(parent=Literal(value=[1, 2, 3]), key=slice(1, None, None)), [2, 3]),
        (Item(parent=Literal(value={"a": 1}), key="a"), 1),
        (method(Literal(value="a b"), "split"), ["a", "b"]),
        (method(Literal(value={"a": 1}), "keys"), ["a"]),
        (Attr(parent=Literal(value=dt.date(2024, 2, 3)), name="month"), 2),
        (Literal(value={"n": [Operator(name="add", args=("x", "y"))]}), {"n": ["xy"]}),
    ],
)
def test_plain_values(ask, node, expected):
    assert ask(node).output == expected


@pytest.mark.parametrize(
    ("node", "code"),
    [
        (Operator(name="mul", args=("x" * 1000, 10**9)), "ValueError"),
        (Operator(name="pow", args=(10, 10**9)), "ValueError"),
        (Operator(name="lshift", args=(1, 10**12)), "ValueError"),
        (Operator(name="mod", args=("%1000000000d", 1)), "TypeError"),
        (Operator(name="add", args=(1, "x")), "TypeError"),
        (Operator(name="truediv", args=(1, 0)), "ZeroDivisionError"),
        (Operator(name="add", args=(Reference("shop.Tag", 1), 1)), "TypeError"),
        (Item(parent=Literal(value=[1]), key=5), "IndexError"),
        (Item(parent=Literal(value={}), key="x"), "KeyError"),
        (Item(parent=Literal(value=5), key=0), "TypeError"),
        (Attr(parent=Literal(value="x"), name="format"), "AttributeError"),
        (method(Literal(value="x"), "isoformat"), "AttributeError"),
        (method(Literal(value=5), "count"), "AttributeError"),
        (method(Literal(value="x" * 5000), "replace", "x", "y" * 5000), "ValueError"),
    ],
)
def test_invalid_operations_on_plain_values(ask, node, code):
    assert ask(node).error.code == code


def test_a_chain_that_doubles_is_stopped(ask):
    node = Literal(value="x" * 1000)
    for _ in range(40):
        node = Operator(name="add", args=(node, node))
    assert ask(node).error.code == "ValueError"


def test_conditions_are_as_django_writes_them(ask):
    condition = Condition((Condition((("tier", "vip"), ("tier", "plus")), "OR"), ("credit__gt", Expr("F", ("id",)))))
    expected = Customer.objects.filter(tier__in=["vip", "plus"], credit__gt=F("id")).count()
    assert ask(method(method(CUSTOMERS, "filter", condition), "count")).output == expected


def test_places_of_a_proxy_keep_the_managers_rows(ask):
    Place.objects.create(name="shut", open=False)
    assert ask(method(method(source("zoo.OpenPlace"), "filter", name="shut"), "count")).output == 0
    assert ask(method(method(source("zoo.Place"), "filter", name="shut"), "count")).output == 1


def test_related_row_is_identified_by_its_key(ask):
    """The copy in the foreign key would reveal a row that does not exist, so the query has a join."""
    columns = ("customer_id", "customer__id", "customer__referred_by_id")
    joined = ask(Rows(parent=method(ORDERS, "select_related", "customer"), columns=columns))
    plain = ask(Rows(parent=ORDERS, columns=columns))
    sql = [one.queries[0].replace("`", "").replace('"', "") for one in (joined, plain)]
    selected, _, rest = sql[0].partition(" FROM ")
    for column in ("shop_order.customer_id", "shop_customer.id", "shop_customer.referred_by_id"):
        assert column in selected
    assert rest.count("JOIN") == 1
    assert "shop_customer.id" not in sql[1].partition(" FROM ")[0]
    assert joined.output.rows == plain.output.rows


def test_a_select_related_that_was_withdrawn_refuses_nothing(ask):
    wrong = method(ORDERS, "select_related", "nothing")
    assert ask(wrong).error.code == "FieldError"
    again = method(method(wrong, "select_related", None), "select_related", "customer")
    assert ask(again).error is None
