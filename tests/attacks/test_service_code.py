"""Expressions as arguments of the service's code; rows that Django would load without the scope of the client."""

from __future__ import annotations

import pytest
from django.db.models import Q

from django_rpc.demo.server.shop.models import Customer, Line, Order, Product
from django_rpc.demo.server.zoo.models import Bookmark, TaggedItem
from django_rpc.server import ModelRpc, site

from .conftest import expr, method, ref

ALL = {"read", "create", "update", "delete"}
CUSTOMERS, ORDERS = ["source", "shop.Customer"], ["source", "shop.Order"]


def named(model, key):
    return {"$instance": [model, key]}


class OwnOrderRpc(ModelRpc):
    fields = ["id", "number", "customer", "status", "products"]
    operations = ALL
    methods = ["counted", "listed", "siblings", "siblings_of_each", "refreshed", "numbered"]

    def get_queryset(self, request):
        return super().get_queryset(request).filter(number__startswith="own")

    def counted(self, request, order):
        return len(order.lines.all())

    def listed(self, request, order, other):
        return len(other.lines.all())

    def siblings(self, request, order):
        return len(order.customer.orders.all())

    def siblings_of_each(self, request, orders):
        return [len(order.customer.orders.all()) for order in orders]

    def refreshed(self, request, order):
        order.refresh_from_db()

    def numbered(self, request, orders, number):
        return orders.filter(number=number).count()


@pytest.fixture(autouse=True)
def order(shop_data, registered):
    """Return the client's order, which has lines; its customer has another order, which is out of scope."""
    mine, other = Order.objects.filter(lines__isnull=False).distinct().order_by("pk")[:2]
    Order.objects.filter(pk=mine.pk).update(number="own-1", customer=1)
    Order.objects.filter(pk=other.pk).update(number="hidden-1", customer=1)
    registered(Order, OwnOrderRpc)
    return Order.objects.get(pk=mine.pk)


# Rows that were loaded with an instance


def test_prefetched_rows_that_django_forgets(send, order):
    """A change of the relation empties Django's cache of it, and the next access loads the rows of all clients."""
    nodes = [CUSTOMERS, method(0, "prefetch_related", "orders"), method(1, "get", pk=1), ["attr", 2, "orders"]]
    assert '"own-1"' in send(nodes[:3]).text
    for change in ("add", "set"):
        value = named("shop.Order", order.pk)
        for outputs in ([2], [4, 2]):
            changed = [*nodes, method(3, change, value if change == "add" else [value])]
            answered = send(changed, outputs=outputs)
            assert answered.error is None, answered.text
            assert "hidden-1" not in answered.text


def test_related_rows_that_the_service_forgets(send, order, registered):
    """``refresh_from_db()`` in the service's code empties the caches of an instance."""

    class NoCustomerRpc(ModelRpc):
        fields = ["id", "name"]

        def get_queryset(self, request):
            return super().get_queryset(request).exclude(pk=20)

    registered(Customer, NoCustomerRpc)
    Customer.objects.filter(pk=20).update(name="hidden-2")
    OwnOrderRpc.refreshed, real = (
        lambda self, request, found: (Order.objects.filter(pk=found.pk).update(customer=20), found.refresh_from_db())[
            1
        ],
        OwnOrderRpc.refreshed,
    )
    try:
        loaded = [ORDERS, method(0, "select_related", "customer"), method(1, "get", pk=order.pk)]
        called = [*loaded, ["call", 2, "refreshed", [], {}]]
        answered = send([*called, ["attr", 2, "customer"]], outputs=[3, 2])
        assert "hidden-2" not in answered.text
        assert send([*called, ["attr", 2, "customer"]], outputs=[4]).code == "DoesNotExist"
    finally:
        OwnOrderRpc.refreshed = real


def test_related_rows_that_the_client_selects_for_the_service(send, order, registered):
    """An empty ``Prefetch`` of the client is not the state of the row."""
    lines = order.lines.count()
    totals = []

    def save(self, **options):
        totals.append(len(self.lines.all()))

    empty = [
        ORDERS,
        ["source", "shop.Line"],
        method(1, "none"),
        method(0, "prefetch_related", expr("Prefetch", "lines", ref(2))),
        method(3, "get", pk=order.pk),
    ]
    assert send([*empty, ["call", 4, "counted", [], {}]]).output == lines
    assert send([*empty, ["call", 4, "listed", [ref(4)], {}]]).output == lines
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Order, "save", save)
        patch.setattr(Order, "delete", save)
        assert send([*empty, method(4, "save")]).error is None
        assert send([*empty, method(4, "delete")]).error is None
    assert totals == [lines, lines]
    # The parent of a relation, which each of its rows knows.
    parents = [
        CUSTOMERS,
        ORDERS,
        method(1, "filter", pk=order.pk),
        method(0, "prefetch_related", expr("Prefetch", "orders", ref(2))),
        method(3, "get", pk=1),
        ["attr", 4, "orders"],
    ]
    siblings = order.customer.orders.count()
    assert send([*parents, method(5, "get", pk=order.pk), ["call", 6, "siblings", [], {}]]).output == siblings
    assert send([*parents, ["call", 5, "siblings_of_each", [], {}]]).output == [siblings]


# Through tables and generic relations


def test_rows_of_a_through_model_out_of_scope(send, order, registered):
    class LineRpc(ModelRpc):
        fields = "__all__"
        operations = ALL

        def get_queryset(self, request):
            return super().get_queryset(request).filter(quantity__gt=100)

    registered(Line, LineRpc)
    products = [ORDERS, method(0, "get", pk=order.pk), ["attr", 1, "products"]]
    other = Product.objects.exclude(pk__in=order.products.all()).first().pk
    related = order.lines.first().product_id
    before = list(Line.objects.order_by("pk").values())
    new = {"sku": "new", "title": "new", "price": 1, "category_id": 1}
    refused = [
        method(2, "add", other, through_defaults={"quantity": 7, "price": 3}),
        method(2, "set", [other], through_defaults={"quantity": 7, "price": 3}),
        method(2, "create", **new, through_defaults={"quantity": 7, "price": 3}),
        method(2, "get_or_create", **new, through_defaults={"quantity": 7, "price": 3}),
    ]
    for step in refused:
        assert send([*products, step]).code == "PermissionDenied"
        assert list(Line.objects.order_by("pk").values()) == before
    for step in (method(2, "remove", related), method(2, "clear"), method(2, "set", []), method(2, "set", [related])):
        send([*products, step])
        assert list(Line.objects.order_by("pk").values()) == before
    assert send([*products, method(2, "add", other, through_defaults={"quantity": 101, "price": 3})]).error is None
    assert send([*products, method(2, "remove", other)]).error is None
    assert not Line.objects.filter(order=order, product=other).exists()


@pytest.mark.parametrize("name", ["order", "product"])
def test_a_foreign_key_of_a_through_model_that_is_read_only(send, order, registered, name):
    """A relation sets both foreign keys of its rows; it deletes rows without setting them."""
    other = Product.objects.exclude(pk__in=order.products.all()).first().pk
    before = list(Line.objects.order_by("pk").values())
    new = {"sku": "new", "title": "new", "price": 1, "category_id": 1}
    defaults = {"through_defaults": {"quantity": 7, "price": 3}}
    for source, key, relation, target in (
        (ORDERS, order.pk, "products", other),
        (["source", "shop.Product"], other, "orders", order.pk),
    ):
        related = [source, method(0, "get", pk=key), ["attr", 1, relation]]
        steps = [method(2, "add", target, **defaults), method(2, "set", [target], **defaults)]
        if relation == "products":
            steps += [method(2, step, **new, **defaults) for step in ("create", "get_or_create", "update_or_create")]
        for readonly in ([name], [f"{name}_id"]):
            registered(Line, fields="__all__", operations=ALL, readonly_fields=readonly)
            for step in steps:
                answered = send([*related, step])
                assert answered.code == "PermissionDenied", answered.text
                assert "is read-only" in answered.message
                assert list(Line.objects.order_by("pk").values()) == before
    products = [ORDERS, method(0, "get", pk=order.pk), ["attr", 1, "products"]]
    assert send([*products, method(2, "remove", order.products.first().pk)]).error is None
    assert send([*products, method(2, "clear")]).error is None
    assert not order.products.exists()


def test_a_generic_foreign_key_that_is_read_only(send, registered):
    mine, theirs = Bookmark.objects.create(url="https://m.example"), Bookmark.objects.create(url="https://t.example")
    registered(Bookmark, fields="__all__", operations=ALL)
    item = TaggedItem.objects.create(tag="a", content_object=theirs)
    own = TaggedItem.objects.create(tag="b", content_object=mine)
    before = list(TaggedItem.objects.order_by("pk").values())
    tags = [["source", "zoo.Bookmark"], method(0, "get", pk=mine.pk), ["attr", 1, "tags"]]
    steps = [
        method(2, "add", named("zoo.TaggedItem", item.pk)),
        method(2, "set", [named("zoo.TaggedItem", item.pk)]),
        method(2, "remove", named("zoo.TaggedItem", own.pk)),
        method(2, "clear"),
        method(2, "create", tag="new"),
    ]
    for readonly in (["object_id"], ["content_type"]):
        registered(TaggedItem, fields="__all__", operations=ALL, readonly_fields=readonly)
        for step in steps:
            assert send([*tags, step]).code == "PermissionDenied"
            assert list(TaggedItem.objects.order_by("pk").values()) == before


# Keys and names


@pytest.mark.parametrize("name", ["customer", "customer_id"])
@pytest.mark.parametrize("way", ["get_or_create", "update_or_create"])
def test_a_query_as_the_foreign_key_of_a_lookup(send, registered, name, way):
    class OwnCustomerRpc(ModelRpc):
        fields = ["id", "name"]

        def get_queryset(self, request):
            return super().get_queryset(request).filter(pk__lte=3)

    registered(Customer, OwnCustomerRpc)
    key = [
        ["source", "shop.Tag"],
        method(0, "annotate", x=expr("Value", 20)),
        method(1, "values", "x"),
        ["item", 2, {"$slice": [0, 1, None]}],
    ]
    answered = send([*key, ORDERS, method(4, way, **{name: ref(3), "number": "own-new"})])
    assert answered.code == "PermissionDenied"
    assert not Order.objects.filter(number="own-new").exists()


def test_hidden_names_of_update_fields(send, registered):
    registered(Customer, fields=["id", "name"], operations=ALL)
    texts = set()
    for name in ("secret_note", "nothing", "orders", "referred_by_id"):
        answered = send([["save", "shop.Customer", {"id": 1, "name": "x"}, False, {"update_fields": [name]}]])
        assert answered.code == "ValueError"
        texts.add(answered.message.replace(name, "?"))
    assert len(texts) == 1
    assert send([["save", "shop.Customer", {"id": 1, "name": "x"}, False, {"update_fields": ["name"]}]]).error is None


# Arguments of the service's code


EXPRESSIONS = {
    "F": expr("F", "secret_note"),
    "a condition": {"$q": ["AND", False, [["customer__secret_note__gt", "a"]]]},
    "Subquery": expr("Subquery", ref(0)),
    "a function": expr("Left", expr("F", "secret_note"), 1),
    "a field": expr("CharField", max_length=9),
    "OuterRef": expr("OuterRef", "secret_note"),
    "Prefetch": expr("Prefetch", "customer"),
}


@pytest.fixture
def arguments():
    seen = []
    site.function(name="takes", reads_only=True)(lambda *args, **kwargs: seen.append((args, kwargs)))
    yield seen
    site.functions.pop("takes")


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_is_no_value(send, arguments, name):
    """A method that filters by its argument would compare hidden fields."""
    value = EXPRESSIONS[name]
    for given in ([value], [[value]], [{"$tuple": [value]}], [{"a": value}], [{"$slice": [value, None, None]}]):
        assert send([ORDERS, ["call", 0, "numbered", given, {}]]).code == "TypeError"
        assert send([ORDERS, ["function", "takes", given, {}, True]]).code == "TypeError"
    assert send([ORDERS, ["function", "takes", [], {"a": value}, True]]).code == "TypeError"
    assert arguments == []


def test_queries_in_containers_are_trusted(send, arguments):
    query = [ORDERS, method(0, "select_related", "customer")]
    for argument in (
        [ref(1)], {"$set": [ref(1)]}, {"$frozenset": [ref(1)]}, {"$dict": [[ref(1), 1]]},
        [{"$set": [{"$tuple": [ref(1)]}]}],
    ):  # fmt: skip
        answered = send([*query, ["function", "takes", [argument], {}, True]])
        assert answered.error is None, answered.text
        ((value,), _) = arguments.pop()
        while not hasattr(value, "query"):
            (value,) = value
        assert type(value.query).__name__ == "Query"
        assert value.query.select_related is False
        assert isinstance(Q(pk__in=value), Q)


def test_loaded_rows_next_to_references(send, arguments, order):
    nodes = [ORDERS, method(0, "get", pk=order.pk)]
    answered = send([*nodes, ["function", "takes", [ref(1), named("shop.Order", order.pk)], {}, True]])
    assert answered.error is None, answered.text
    assert arguments[0][0] == (order, order)
