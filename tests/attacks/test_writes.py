"""Writes of fields that a client may not set, and to rows that it does not see, in every part of a query."""

from __future__ import annotations

import pytest
from django.contrib.contenttypes.models import ContentType

from django_rpc.demo.server.shop.models import Category, Customer, Order, Product, Tag
from django_rpc.demo.server.zoo.models import Bookmark, TaggedItem
from django_rpc.server import ModelRpc

from .conftest import expr, method, ref

CUSTOMERS, ORDERS, TAGS = ["source", "shop.Customer"], ["source", "shop.Order"], ["source", "shop.Tag"]
ALL = {"read", "create", "update", "delete"}


class OwnCustomerRpc(ModelRpc):
    fields = ["id", "name", "email", "city", "joined", "referred_by"]
    readonly_fields = ["city"]
    operations = ALL

    def get_queryset(self, request):
        return super().get_queryset(request).filter(secret_note="mine")


class OwnTagRpc(ModelRpc):
    fields = ["id", "name"]
    operations = ALL

    def get_queryset(self, request):
        return super().get_queryset(request).filter(name__startswith="own")


@pytest.fixture(autouse=True)
def rows(shop_data, registered):
    Customer.objects.update(secret_note="of others")
    Customer.objects.filter(pk__lte=5).update(secret_note="mine", referred_by=None)
    registered(Customer, OwnCustomerRpc)
    registered(Tag, OwnTagRpc)


# Fields that may not be set


@pytest.mark.parametrize("name", ["city", "secret_note", "secret_nope", "pk", "id", "_state", "objects", "__class__"])
def test_unwritable_fields_are_refused(send, name):
    before = list(Customer.objects.order_by("pk").values())
    for nodes in (
        [CUSTOMERS, method(0, "update", **{name: "x"})],
        [CUSTOMERS, method(0, "getset", **{name: "x"})],
        [CUSTOMERS, method(0, "bulk_update", [name], [[1, "x"]])],
        [CUSTOMERS, method(0, "update_or_create", id=1, defaults={name: "x"})],
        [["save", "shop.Customer", {"id": 1, name: "x"}, False, {}]] if name not in ("id", "pk") else None,
        [["insert", "shop.Customer", ["email", name], ["str", "str"], [["a@example.org", "x"]], {}]],
    ):
        if nodes is None:
            continue
        answered = send(nodes)
        assert answered.error is not None, nodes
        assert list(Customer.objects.order_by("pk").values()) == before


def test_an_annotation_does_not_make_another_row(send):
    """``annotate(pk=7)`` would make row 7 of the first row, which could then be deleted or saved."""
    for name in ("pk", "save", "delete", "objects", "secret_note", "profile", "orders"):
        for nodes in (
            [CUSTOMERS, method(0, "annotate", **{name: expr("Value", 7)}), method(1, "first"), method(2, "delete")],
            [CUSTOMERS, method(0, "prefetch_related", expr("Prefetch", "orders", to_attr=name)), method(1, "first")],
        ):
            assert send(nodes).code == "ValueError"
    assert Customer.objects.filter(pk=7).exists()


def test_a_hidden_value_is_not_copied_by_a_save(send):
    hidden = expr("F", "secret_note")
    for nodes in (
        [["save", "shop.Customer", {"id": 1, "name": hidden}, False, {}]],
        [["save", "shop.Customer", {"id": 1, "name": expr("Lower", hidden)}, False, {}]],
        [CUSTOMERS, method(0, "update_or_create", id=1, defaults={"name": hidden})],
        [CUSTOMERS, method(0, "update", name=hidden)],
    ):
        answered = send(nodes)
        assert answered.code == "FieldError"
    assert not Customer.objects.filter(name="mine").exists()


# Rows of others


def test_hidden_related_rows_stay_related(send):
    product = Product.objects.first()
    own, foreign = Tag.objects.create(name="own-1"), Tag.objects.create(name="foreign-1")
    product.tags.set([own, foreign])
    tags = [["source", "shop.Product"], method(0, "get", pk=product.pk), ["attr", 1, "tags"]]
    assert send([*tags, method(2, "clear")]).error is None
    assert list(product.tags.all()) == [foreign]
    other = Tag.objects.create(name="own-2")
    assert send([*tags, method(2, "set", [own.pk, other.pk])]).error is None
    assert set(product.tags.all()) == {own, other, foreign}
    assert send([*tags, method(2, "set", [own.pk])]).error is None
    assert set(product.tags.all()) == {own, foreign}
    assert send([*tags, method(2, "add", foreign.pk)]).code == "DoesNotExist"


def test_hidden_rows_stay_related_by_foreign_key(send):
    Customer.objects.filter(pk__in=[2, 3, 20]).update(referred_by=1)
    referrals = [CUSTOMERS, method(0, "get", pk=1), ["attr", 1, "referrals"]]
    assert send([*referrals, method(2, "clear")]).error is None
    assert list(Customer.objects.filter(referred_by=1).values_list("pk", flat=True)) == [20]


def test_insert_outside_of_scope_is_refused(send):
    for conflict in ("ignore", "update"):
        options = {
            "on_conflict": conflict,
            **({"update_fields": ["name"], "unique_fields": ["name"]} if conflict == "update" else {}),
        }
        answered = send([["insert", "shop.Tag", ["name"], ["str"], [["theirs"]], options]])
        assert answered.code == "NotSupportedError"
    assert send([["insert", "shop.Tag", ["name"], ["str"], [["theirs"]], {}]]).code == "PermissionDenied"
    assert send([TAGS, method(0, "create", name="theirs")]).code == "PermissionDenied"
    assert not Tag.objects.filter(name="theirs").exists()


def test_foreign_key_to_hidden_row(send):
    for target in (20, 99_999):
        answered = send([CUSTOMERS, method(0, "filter", pk=1), method(1, "update", referred_by=target)])
        assert answered.code == "ValidationError"
        assert answered.data_statements != []
    assert Customer.objects.get(pk=1).referred_by is None


def test_generic_foreign_key_to_hidden_row(send, registered):
    """Each way to write sets its two columns separately: the client must see the row that they refer to."""
    mine, theirs = Bookmark.objects.create(url="https://m.example"), Bookmark.objects.create(url="https://t.example")

    class OwnBookmarkRpc(ModelRpc):
        fields = "__all__"

        def get_queryset(self, request):
            return super().get_queryset(request).filter(pk=mine.pk)

    registered(Bookmark, OwnBookmarkRpc)
    kind = ContentType.objects.get_for_model(Bookmark)
    users = ContentType.objects.get(app_label="auth", model="user")
    item = TaggedItem.objects.create(tag="a", content_type=kind, object_id=mine.pk)
    of_user = TaggedItem.objects.create(tag="u", content_type=users, object_id=1)
    items = ["source", "zoo.TaggedItem"]
    one = [items, method(0, "filter", pk=item.pk)]
    before = list(TaggedItem.objects.order_by("pk").values())
    for key in (theirs.pk, 99_999):
        pointed = {"content_type_id": kind.pk, "object_id": key}
        for nodes in (
            [*one, method(1, "update", object_id=key)],
            [*one, method(1, "getset", object_id=key)],
            [items, method(0, "bulk_update", ["object_id"], [[item.pk, key]])],
            [items, method(0, "create", tag="b", **pointed)],
            [items, method(0, "get_or_create", tag="b", defaults=pointed)],
            [items, method(0, "update_or_create", pk=item.pk, defaults={"object_id": key})],
            [["save", "zoo.TaggedItem", {"id": item.pk, "object_id": key}, False, {}]],
            [["save", "zoo.TaggedItem", {"tag": "b", "content_type_id": kind.pk, "object_id": key}, True, {}]],
            [["insert", "zoo.TaggedItem", ["tag", "content_type_id", "object_id"], ["str", "int", "int"],
              [["b", kind.pk, key]], {}]],
            [items, method(0, "filter", pk=of_user.pk), method(1, "update", object_id=key)],
        ):  # fmt: skip
            answered = send(nodes)
            assert answered.code == "ValidationError", (nodes, answered.text)
        assert list(TaggedItem.objects.order_by("pk").values()) == before
    # The current reference, and writes of other fields, are accepted.
    assert send([*one, method(1, "update", object_id=mine.pk)]).output == 1
    assert send([items, method(0, "filter", pk=of_user.pk), method(1, "update", tag="v")]).output == 1
    assert send([["save", "zoo.TaggedItem", {"id": of_user.pk, "tag": "w", "object_id": 1}, False, {}]]).error is None


def test_text_of_hidden_row(send):
    """Django's errors hold the text of an instance, which its model makes of any of its columns."""
    category = Category.objects.first()
    secret = Customer.objects.get(pk=20).name
    for key in (20, 1):
        named = {"$instance": ["shop.Customer", key]}
        for nodes in (
            [["source", "shop.Product"], method(0, "filter", category=named), method(1, "count")],
            [["source", "shop.Product"], method(0, "create", sku="x", title="x", price=1, category=named)],
            [ORDERS, method(0, "filter", products=named), method(1, "count")],
            [ORDERS, method(0, "first"), ["attr", 1, "lines"], method(2, "add", named)],
        ):
            answered = send(nodes)
            assert answered.error is not None
            assert secret not in answered.text
    assert (
        category.title
        not in send([CUSTOMERS, method(0, "filter", referred_by={"$instance": ["shop.Category", category.pk]})]).text
    )


@pytest.mark.parametrize(
    "path",
    [
        "customer__referrals__orders__number",
        "customer__referred_by__name",
        "products__orders__customer__name",
        "lines__order__customer__email",
    ],
)
def test_hidden_rows_through_three_relations(send, path):
    """Whatever is reached through a customer of others is as if that customer were not there."""
    theirs = Order.objects.exclude(customer__secret_note="mine")
    mine = Customer.objects.filter(secret_note="mine")
    for nodes in ([ORDERS, ["rows", 0, ["id", path]]], [ORDERS, method(0, "values_list", "id", path)]):
        answered = send(nodes)
        for name in Customer.objects.exclude(pk__in=mine).values_list("name", flat=True).distinct():
            if not mine.filter(name=name).exists():
                assert name not in answered.text
        assert answered.error is None
    if path.startswith("customer"):
        values = [*theirs.values_list("pk", flat=True)]
        counted = send([ORDERS, method(0, "filter", pk__in=values, **{f"{path}__gt": ""}), method(1, "count")])
        assert counted.output == 0


def test_hidden_rows_in_count_and_subquery(send):
    mine = Customer.objects.filter(secret_note="mine")
    assert send([CUSTOMERS, method(0, "aggregate", n=expr("Count", "orders"))]).output == {
        "n": Order.objects.filter(customer__in=mine).count()
    }
    nodes = [CUSTOMERS, method(0, "values", "pk"), ORDERS, method(2, "filter", customer__in=ref(1)), method(3, "count")]
    assert send(nodes).output == Order.objects.filter(customer__in=mine).count()


def test_a_row_that_is_saved_as_if_it_were_new(send):
    """A field that the client may not set does not change: a new instance has its default."""
    Customer.objects.filter(pk=1).update(city="Oslo", credit=50)
    before = Customer.objects.values().get(pk=1)
    for values in ({"id": 1, "name": "x"}, {"id": 1, "name": "x", "city": ""}):
        assert send([["save", "shop.Customer", values, True, {}]]).error is None
        assert Customer.objects.values().get(pk=1) == {**before, "name": "x"}
    assert send([["save", "shop.Customer", {"id": 1, "city": "Rome"}, True, {}]]).code == "PermissionDenied"
    answered = send([["save", "shop.Customer", {"id": 20, "name": "x", "email": "x@example.org"}, True, {}]])
    assert answered.code == "IntegrityError"
    assert Customer.objects.get(pk=20).secret_note == "of others"
