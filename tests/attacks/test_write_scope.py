"""Rows that a write may not reach or leave behind: inserted without keys, and updated by a conflict."""

from __future__ import annotations

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from django_rpc.demo.server.shop.models import Customer, Order, Tag
from django_rpc.demo.server.zoo.models import Bookmark, NaturalKey, NoteOnKey, TaggedItem, UuidKey
from django_rpc.server import ModelRpc

from .conftest import expr

ALL = {"read", "create", "update", "delete"}


class OwnTagRpc(ModelRpc):
    fields = ["id", "name"]
    operations = ALL

    def get_queryset(self, request):
        return super().get_queryset(request).filter(name__startswith="own")


@pytest.fixture
def without_keys(monkeypatch):
    """A database that returns no keys of rows inserted together, as MySQL, and at most the key of a single row."""
    features = type(connection.features)
    monkeypatch.setattr(features, "can_return_rows_from_bulk_insert", False)
    if connection.vendor != "postgresql":
        monkeypatch.setattr(features, "can_return_columns_from_insert", False)


def insert(label, names, rows, **options):
    return ["insert", label, names, ["any"] * len(names), rows, options]


@pytest.mark.django_db
def test_inserted_rows_are_checked_without_their_keys(send, registered, without_keys):
    registered(Tag, OwnTagRpc)
    Tag.objects.create(name="own-0")
    before = Tag.objects.count()
    for rows in ([["theirs"]], [["own-1"], ["theirs"]], [["theirs"], ["own-1"], ["own-2"]]):
        for returning in (["id"], []):
            assert send([insert("shop.Tag", ["name"], rows, returning=returning)]).code == "PermissionDenied"
            assert Tag.objects.count() == before
    answered = send([insert("shop.Tag", ["name"], [["own-1"], ["own-2"]], returning=["id"])])
    assert answered.error is None
    keys = Tag.objects.filter(name__in=["own-1", "own-2"]).order_by("name").values_list("pk", flat=True)
    assert [row["$tuple"] for row in answered.output] == [[key] for key in keys]


@pytest.mark.django_db
def test_inserted_rows_with_keys_of_the_client(send, registered, without_keys):
    class NoneRpc(ModelRpc):
        fields = "__all__"
        operations = ALL

        def get_queryset(self, request):
            return super().get_queryset(request).none()

    for model, label, rows in (
        (Tag, "shop.Tag", [[800, "own"], [801, "own2"]]),
        (NaturalKey, "zoo.NaturalKey", [["a", "x"], ["b", "y"]]),
    ):
        registered(model, NoneRpc)
        names = ["id", "name"] if model is Tag else ["code", "title"]
        assert send([insert(label, names, rows)]).code == "PermissionDenied"
        assert not model.objects.filter(pk__in=[row[0] for row in rows]).exists()
    registered(UuidKey, NoneRpc)
    assert send([insert("zoo.UuidKey", ["name"], [["x"], ["y"]])]).code == "PermissionDenied"
    assert not UuidKey.objects.exists()


@pytest.mark.django_db
def test_a_key_that_the_database_evaluates_again(send, registered):
    """An expression would be one row where it is inserted, and another where the row is checked."""
    registered(Tag, OwnTagRpc)
    Tag.objects.create(name="own")
    for key in (expr("Value", 900), expr("Floor", expr("Random"))):
        assert send([insert("shop.Tag", ["id", "name"], [[key, "theirs"]])]).code == "PermissionDenied"
    for key in (expr("F", "id"), expr("Coalesce", expr("F", "id"), 900), expr("Max", "id")):
        assert send([insert("shop.Tag", ["id", "name"], [[key, "theirs"]])]).code == "ValueError"
    assert not Tag.objects.filter(name="theirs").exists()


@pytest.fixture
def bookmarks(db, registered):
    """Return two bookmarks; the client sees the first."""
    mine, theirs = Bookmark.objects.create(url="https://m.example"), Bookmark.objects.create(url="https://t.example")

    class OwnBookmarkRpc(ModelRpc):
        fields = "__all__"

        def get_queryset(self, request):
            return super().get_queryset(request).filter(pk=mine.pk)

    registered(Bookmark, OwnBookmarkRpc)
    return mine, theirs


def upsert(label, names, rows, update_fields):
    unique = [] if connection.vendor == "mysql" else ["id"]
    return insert(label, names, rows, on_conflict="update", update_fields=update_fields, unique_fields=unique)


def test_a_conflict_moves_no_generic_foreign_key(send, bookmarks):
    """The conflicting row has another type than the new row, which is the type of the key check."""
    mine, theirs = bookmarks
    kind = ContentType.objects.get_for_model(Bookmark).pk
    tags = ContentType.objects.get_for_model(NaturalKey).pk
    item = TaggedItem.objects.create(tag="a", content_type_id=kind, object_id=mine.pk)
    before = TaggedItem.objects.values().get()
    names = ["id", "tag", "content_type_id", "object_id"]
    for row in ([item.pk, "b", tags, theirs.pk], [item.pk, "b", kind, theirs.pk], [item.pk, "b", kind, 99_999]):
        for updated in (
            ["object_id"], ["tag", "object_id"], ["content_type"], ["content_type", "object_id"],
            ["tag", "content_type"],
        ):  # fmt: skip
            if updated in (["content_type"], ["tag", "content_type"]) or row[2] != tags or len(updated) == 1:
                answered = send([upsert("zoo.TaggedItem", names, [row], updated)])
                assert answered.error is not None, (row, updated)
                assert TaggedItem.objects.values().get() == before
    for names, row in ((["id", "tag"], [item.pk, "b"]), (["id", "object_id"], [item.pk, theirs.pk])):
        answered = send([upsert("zoo.TaggedItem", names, [row], ["content_type", "object_id"])])
        assert answered.error is not None
        assert TaggedItem.objects.values().get() == before
    value = expr("Value", theirs.pk)
    answered = send([upsert("zoo.TaggedItem", ["id", "tag", "content_type_id", "object_id"],
                            [[item.pk, "b", kind, value]], ["content_type", "object_id"])])  # fmt: skip
    assert answered.error is not None
    assert TaggedItem.objects.values().get() == before
    names = ["id", "tag", "content_type_id", "object_id"]
    unchanged = [item.pk, "b", kind, mine.pk]
    assert send([upsert("zoo.TaggedItem", names, [unchanged], ["tag"])]).error is None
    assert TaggedItem.objects.values().get() == {**before, "tag": "b"}
    assert send([upsert("zoo.TaggedItem", names, [unchanged], ["content_type", "object_id"])]).error is None
    assert TaggedItem.objects.values().get() == {**before, "tag": "b"}


def test_a_conflict_moves_no_foreign_key(send, db, registered):
    """Also where the new row leaves the foreign key to its default, and where it is an expression."""
    mine, theirs = NaturalKey.objects.create(code="m"), NaturalKey.objects.create(code="t")

    class OwnKeyRpc(ModelRpc):
        fields = "__all__"

        def get_queryset(self, request):
            return super().get_queryset(request).filter(code="m")

    registered(NaturalKey, OwnKeyRpc)
    note = NoteOnKey.objects.create(text="a", by_code=mine)
    names, before = ["id", "text", "by_code_id"], NoteOnKey.objects.values().get()
    for value in (theirs.pk, "nope", expr("Value", theirs.pk)):
        for updated in (["by_code"], ["text", "by_code"]):
            assert send([upsert("zoo.NoteOnKey", names, [[note.pk, "b", value]], updated)]).error is not None
            assert NoteOnKey.objects.values().get() == before
    assert send([upsert("zoo.NoteOnKey", names, [[note.pk, "b", "m"]], ["text", "by_code"])]).error is None
    assert NoteOnKey.objects.values().get() == {**before, "text": "b"}


def test_a_conflict_sets_no_field_that_the_client_may_not_set(send, shop_data, registered):
    registered(Customer, fields=["id", "name", "email", "joined"], readonly_fields=["joined"], operations=ALL)
    before = list(Customer.objects.order_by("pk").values())
    first = before[0]
    for updated in (["secret_note"], ["joined"], ["name", "secret_note"], ["city"], ["id"], ["pk"], ["secret_nope"]):
        node = upsert("shop.Customer", ["id", "name", "email"], [[first["id"], "x", "x@example.org"]], updated)
        assert send([node]).error is not None
    for unique in (["secret_note"], ["city"], ["secret_nope"]):
        node = insert("shop.Customer", ["id", "name", "email"], [[first["id"], "x", "x@example.org"]],
                      on_conflict="update", update_fields=["name"], unique_fields=unique)  # fmt: skip
        assert send([node]).error is not None
    assert list(Customer.objects.order_by("pk").values()) == before


def test_a_conflict_needs_the_permission_to_update(send, shop_data, registered):
    for operations in ({"read", "create"}, {"create"}, {"update"}):
        registered(Tag, fields="__all__", operations=operations)
        tag = Tag.objects.first()
        assert send([upsert("shop.Tag", ["id", "name"], [[tag.pk, "x"]], ["name"])]).code == "PermissionDenied"
        assert not Tag.objects.filter(name="x").exists()


def test_conflicts_where_a_client_sees_some_rows(send, shop_data, registered):
    registered(Tag, OwnTagRpc)
    tag = Tag.objects.first()
    for options in ({"on_conflict": "ignore"}, {"on_conflict": "update", "update_fields": ["name"]}):
        assert send([insert("shop.Tag", ["id", "name"], [[tag.pk, "own"]], **options)]).code == "NotSupportedError"
    # The rows of an automatic through table are those of rows that the client sees.
    order = Order.objects.first()
    node = insert("shop.Product.tags", ["product_id", "tag_id"], [[order.products.first().pk, tag.pk]])
    assert send([node]).error is not None


class MyKeyRpc(ModelRpc):
    """Rows of text keys, by a title that clients may set."""

    fields = "__all__"
    operations = {"read", "create", "update", "delete"}

    def get_queryset(self, request):
        return NaturalKey.objects.filter(title="mine")


@pytest.mark.parametrize("values", [{}, {"code": None}, {"code": ""}])
@pytest.mark.parametrize("options", [{}, {"update_fields": ["title"]}, {"force_update": True}])
@pytest.mark.django_db
def test_a_row_without_a_key_is_no_update_of_the_row_with_an_empty_key(send, registered, values, options):
    """Django's save() makes a missing text key the empty text, and then updates the row with this key."""
    registered(NaturalKey, MyKeyRpc)
    NaturalKey.objects.create(code="", title="theirs")
    for adding in (True, False):
        answered = send([["save", "zoo.NaturalKey", {"title": "mine", **values}, adding, options]])
        assert answered.code in ("IntegrityError", "DatabaseError"), answered.code
        assert NaturalKey.objects.get().title == "theirs"
