"""Operations, writable fields, methods, and models that are not there."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import Group, User

from django_rpc.demo.server.shop.models import Customer, Order, Tag
from django_rpc.graph.nodes import Attr, Insert, Literal, Rows, Save
from django_rpc.graph.values import Record, Reference
from django_rpc.server import ModelRpc
from tests.server.conftest import call, method, source

CUSTOMERS, ORDERS, TAGS = source("shop.Customer"), source("shop.Order"), source("shop.Tag")
NEW = {"name": "n", "email": "n@example.org", "city": "x", "joined": dt.date(2025, 1, 1)}


@pytest.fixture(autouse=True)
def data(shop_data):
    return shop_data


@pytest.mark.parametrize("label", ["auth.User", "auth.Nope", "nope.User", "contenttypes.ContentType"])
def test_an_unregistered_model_is_like_none(ask, label):
    for node in (
        method(source(label), "count"),
        Literal(value=Reference(label, 1)),
        Save(model=label, service="", values={"id": 1}, adding=True),
        Insert(model=label, service="", fields=("id",), rows=((1,),)),
    ):
        answered = ask(node)
        assert answered.error.code == "UnknownModel"
        assert answered.error.message == f"This service has no model {label!r}."
        assert [sql for sql in answered.queries if "SAVEPOINT" not in sql] == []


def test_relations_to_an_unregistered_model_do_not_exist(ask, registered):
    registered(Group, fields=["id", "name"])
    User.objects.create_user("root", password="hidden").groups.add(Group.objects.create(name="g"))
    groups = source("auth.Group")
    for node in (
        method(method(groups, "filter", user__password__startswith="p"), "count"),
        method(groups, "order_by", "user__password"),
        method(method(groups, "filter", user__isnull=False), "count"),
        method(groups, "prefetch_related", "user_set"),
        Rows(parent=groups, columns=("user__password",)),
    ):
        answered = ask(node)
        assert answered.error.code in ("FieldError", "AttributeError")
        assert "password" not in answered.error.message.replace("'user__password'", "")
        assert answered.queries == []
    assert ask(method(groups, "count")).output == 1


def test_operations_without_permission_are_refused(ask, registered):
    registered(Tag, fields=["id", "name"])
    for node in (
        method(TAGS, "create", name="x"),
        method(TAGS, "get_or_create", name="x"),
        method(TAGS, "update", name="x"),
        method(TAGS, "getset", name="x"),
        method(TAGS, "delete"),
        method(method(TAGS, "first"), "delete"),
        method(method(TAGS, "first"), "save"),
        Save(model="shop.Tag", service="", values={"name": "x"}, adding=True),
        Save(model="shop.Tag", service="", values={"id": 1, "name": "x"}, adding=False),
        Insert(model="shop.Tag", service="", fields=("name",), rows=(("x",),)),
    ):
        assert ask(node).error.code == "PermissionDenied"
    assert not Tag.objects.filter(name="x").exists()
    assert ask(method(TAGS, "count")).output == Tag.objects.count()


def test_create_permission_returns_only_the_key(ask, registered):
    registered(Tag, fields=["id", "name"], operations={"create"})
    made = ask(method(TAGS, "create", name="x")).output
    assert made == Record("shop.Tag", ("id",), (Tag.objects.get(name="x").pk,))
    assert ask(method(TAGS, "count")).error.code == "PermissionDenied"
    assert ask(method(method(TAGS, "filter", name="x"), "exists")).error is not None
    products = method(method(source("shop.Product"), "filter", tags__name="x"), "count")
    assert ask(products).error.code == "FieldError"


def test_permission_by_request(ask, registered):
    seen = []

    class AskedRpc(ModelRpc):
        fields = ["id", "name"]
        operations = {"read", "create"}

        def has_permission(self, request, operation):
            seen.append((request.client, operation))
            return operation == "create"

    registered(Tag, AskedRpc)
    assert ask(method(TAGS, "count")).error.code == "PermissionDenied"
    assert ("anonymous", "read") in seen


def test_readonly_fields(ask, registered):
    every = {"read", "create", "update"}
    registered(Customer, fields=["id", *NEW, "credit", "tier"], readonly_fields=["credit"], operations=every)
    first = Customer.objects.first()
    refused = (
        method(CUSTOMERS, "create", **NEW, credit=5),
        method(CUSTOMERS, "update", credit=5),
        method(CUSTOMERS, "getset", credit=5),
        method(CUSTOMERS, "get_or_create", email="z@example.org", defaults={**NEW, "credit": 5}),
        method(CUSTOMERS, "update_or_create", pk=first.pk, defaults={"credit": 5}),
        Save(model="shop.Customer", service="", values={"id": first.pk, "credit": first.credit + 5}, adding=False),
        Save(model="shop.Customer", service="", values={**NEW, "credit": 5}, adding=True),
        Insert(model="shop.Customer", service="", fields=("name", "credit"), rows=(("a", 5),)),
        method(CUSTOMERS, "bulk_update", ("credit",), [(first.pk, 5)]),
    )
    for node in refused:
        assert ask(node).error.code == "PermissionDenied", node
    # A mirror sends all its fields: an unchanged field is no mistake.
    kept = {"id": first.pk, "name": "kept", "credit": first.credit}
    assert ask(Save(model="shop.Customer", service="", values=kept, adding=False)).error is None
    assert Customer.objects.get(pk=first.pk).name == "kept"
    assert ask(Save(model="shop.Customer", service="", values={**NEW, "credit": 0}, adding=True)).error is None


def test_the_key_of_a_row_is_not_changed(ask):
    for node in (
        method(CUSTOMERS, "update", pk=5),
        method(CUSTOMERS, "update", id=5),
        method(CUSTOMERS, "getset", id=5),
        method(CUSTOMERS, "update_or_create", pk=1, defaults={"id": 7}),
        method(CUSTOMERS, "bulk_update", ("id",), [(1, 5)]),
    ):
        assert ask(node).error.code == "PermissionDenied"


def test_methods_are_called_by_registered_names_only(ask, registered):
    class CustomerRpc(ModelRpc):
        fields = ["id", "name"]
        methods = ["top_spenders", "count_of", "greet"]

        def count_of(self, request, queryset, extra):
            return [request.client, queryset.filter(secret_note__gt="").count(), extra]

        def greet(self, request, instance):
            return f"{request.client} greets {instance.name}" if instance.secret_note else ""

        def not_listed(self, request, queryset):
            raise AssertionError

    registered(Customer, CustomerRpc)
    total = Customer.objects.count()
    assert ask(call(CUSTOMERS, "count_of", 5)).output == ["anonymous", total, 5]
    assert ask(call(method(CUSTOMERS, "filter", pk=1), "count_of", 5)).output == ["anonymous", 1, 5]
    assert len(ask(call(method(CUSTOMERS, "filter", name__gt=""), "top_spenders", 2)).output) == 2
    first = Customer.objects.get(pk=1)
    assert ask(call(method(CUSTOMERS, "get", pk=1), "greet")).output == f"anonymous greets {first.name}"
    messages = set()
    for name in ("not_listed", "nope", "delete", "get_queryset", "has_permission", "as_manager"):
        error = ask(call(CUSTOMERS, name)).error
        messages.add((error.code, error.message.replace(name, "")))
    text = "'Customer' has no method '' that clients may call. `methods` of its ModelRpc lists those methods."
    assert messages == {("AttributeError", text)}
    assert ask(call(method(CUSTOMERS, "filter", secret_note=""), "top_spenders")).error.code == "FieldError"


def test_method_result_is_limited_and_checked(ask, registered):
    class CustomerRpc(ModelRpc):
        fields = ["id", "name"]
        methods = ["all_of_them", "one", "strange"]

        def all_of_them(self, request, queryset):
            return Customer.objects.filter(secret_note__gt="", pk__lt=5)

        def one(self, request, queryset):
            return {"first": Customer.objects.get(pk=1)}

        def strange(self, request, queryset):
            return object()

    registered(Customer, CustomerRpc)
    assert ask(call(CUSTOMERS, "all_of_them")).output.fields == ("id", "name")
    assert ask(call(CUSTOMERS, "one")).output["first"].fields == ("id", "name")
    assert "cannot be sent" in ask(call(CUSTOMERS, "strange")).error.message
    refined = method(call(CUSTOMERS, "all_of_them"), "filter", pk__gt=2)
    assert ask(method(refined, "count")).output == 2
    hidden = method(call(CUSTOMERS, "all_of_them"), "filter", secret_note="x")
    assert ask(method(hidden, "count")).error.code == "FieldError"


def test_attributes_of_instances_are_those_exposed(ask):
    first = method(ORDERS, "first")
    order = Order.objects.first()
    assert ask(Attr(parent=first, name="number")).output == order.number
    assert ask(Attr(parent=first, name="is_large")).output == order.is_large
    assert ask(Attr(parent=Attr(parent=first, name="customer"), name="name")).output == order.customer.name
    assert ask(method(Attr(parent=first, name="lines"), "count")).output == order.lines.count()
    for name in ("delete", "save", "objects", "pk_", "clean", "get_status_display", "refresh_from_db", "DoesNotExist"):
        assert ask(Attr(parent=first, name=name)).error.code == "AttributeError", name


def test_not_strict(ask, settings_of_server, unregistered):
    unregistered(Customer)
    settings_of_server(STRICT=False)
    assert ask(method(method(CUSTOMERS, "filter", secret_note__gt=""), "count")).output == Customer.objects.count()
    assert ask(method(source("auth.User"), "count")).output == 0
    assert len(ask(call(CUSTOMERS, "top_spenders", 2)).output) == 2
    assert ask(call(CUSTOMERS, "bulk_create", [])).error.code == "AttributeError"
    assert ask(method(source("auth.User"), "create", username="u")).error is None
    settings_of_server(STRICT=True)
    assert ask(method(source("auth.User"), "count")).error.code == "UnknownModel"


def test_bulk_create_of_a_mirror_that_has_fields_which_are_not_to_be_set(ask, registered):
    """Django's bulk_create() sends all fields: only a field with a value is a mistake."""
    registered(Customer, fields=[*NEW, "notes", "active"], readonly_fields=["notes", "active"], operations={"create"})

    def insert(notes, active):
        fields = (*NEW, "notes", "active")
        return ask(Insert(model="shop.Customer", service="", fields=fields, rows=((*NEW.values(), notes, active),)))

    assert insert("", True).error is None
    made = Customer.objects.get(email=NEW["email"])
    assert (made.notes, made.active) == (Customer().notes, True)
    made.delete()
    for given in (("mine", True), ("", False)):
        refused = insert(*given).error
        assert (refused.code, "is read-only" in refused.message) == ("PermissionDenied", True)
    assert not Customer.objects.filter(email=NEW["email"]).exists()
