"""The description of models for a client: everything that it may see, and nothing else."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest
from django.db import models

from django_rpc.demo.server.rpc_server.models import ServerModel
from django_rpc.demo.server.shop.models import Category, Customer, Line, Order, Product, Profile
from django_rpc.demo.server.zoo.models import Place, Price, Restaurant
from django_rpc.graph.nodes import DescribeModels
from django_rpc.graph.schema import ConstraintSchema, models_of
from django_rpc.server import ModelRpc

pytestmark = pytest.mark.django_db


@pytest.fixture
def describe(ask):
    """``describe("shop.Order")``: the described models by label."""
    return lambda *labels: models_of(ask(DescribeModels(service="rpc", models=labels)).output)


def field(described, label, name):
    return next(item for item in described[label].fields if item.name == name)


def names(described, label):
    return [item.name for item in described[label].fields]


def test_all_registered_models_and_no_other(describe):
    from django_rpc.server import site

    assert set(describe()) == {model._meta.label for model in site}


def test_named_model_includes_related_models(describe):
    assert set(describe("shop.line")) == {
        "shop.Category", "shop.Customer", "shop.Line", "shop.Order", "shop.Product", "shop.Tag"
    }  # fmt: skip
    assert set(describe("shop.Tag")) == {"shop.Tag"}


@pytest.mark.parametrize("label", ["shop.Nothing", "auth.User", "nothing.Order"])
def test_a_model_that_is_not_seen_is_not_in_the_answer(describe, label):
    assert describe(label) == {}


def test_fields_with_their_options(describe):
    found = describe("shop.Order", "shop.Product")
    status = field(found, "shop.Order", "status")
    assert (status.type, status.max_length, status.default) == ("CharField", 10, "new")
    assert status.choices[0] == ["new", "New"]
    total = field(found, "shop.Order", "total")
    assert (total.max_digits, total.decimal_places, total.default) == (12, 2, 0)
    assert field(found, "shop.Order", "created").called_default == "now"
    customer = field(found, "shop.Order", "customer")
    assert (customer.to, customer.related_name, customer.on_delete) == ("shop.Customer", "orders", "CASCADE")
    assert field(found, "shop.Order", "products").through == "shop.Line"
    sku = field(found, "shop.Product", "sku")
    assert (sku.verbose_name, sku.unique) == ("SKU", True)
    assert field(found, "shop.Product", "attributes").called_default == "dict"


def test_options_of_the_model(describe):
    found = describe("shop.Order", "shop.Line")
    assert found["shop.Order"].ordering == ["-created", "-id"]
    assert found["shop.Order"].get_latest_by == ["created"]
    assert [item.name for item in found["shop.Order"].computed] == ["is_large"]
    assert found["shop.Customer"].methods == ["top_spenders"]
    assert found["shop.Category"].verbose_name_plural == "categories"
    once = ConstraintSchema(name="shop_line_once_an_order", fields=["order", "product"])
    assert found["shop.Line"].constraints == [once]


def test_a_hidden_field_is_named_nowhere(ask, registered):
    registered(Customer, fields=["id", "name"])
    registered(Order, fields=["id", "total"])
    registered(Line, fields=["order", "quantity"])
    answer = ask(DescribeModels(service="rpc")).response
    found = models_of(answer.outputs[0])
    assert names(found, "shop.Order") == ["id", "total"]
    # The ordering and a unique constraint use hidden fields.
    assert found["shop.Order"].ordering == []
    assert found["shop.Order"].get_latest_by == []
    assert found["shop.Line"].constraints == []
    for hidden in ("secret_note", "created", "notes"):
        assert f"'{hidden}'" not in repr([item for item in answer.outputs[0]["models"] if "shop" in item["model"]][:5])


def test_a_foreign_key_to_a_hidden_model_is_its_column(describe, registered, unregistered):
    unregistered(Category)
    found = describe("shop.Product")
    assert "shop.Category" not in found
    assert "category" not in names(found, "shop.Product")
    column = field(found, "shop.Product", "category_id")
    assert (column.type, column.to) == ("BigIntegerField", None)


def test_a_many_to_many_to_a_hidden_model_is_left_out(describe, unregistered):
    unregistered(Product)
    assert "products" not in names(describe("shop.Order"), "shop.Order")


def test_a_foreign_key_to_a_hidden_field_is_its_column(describe, registered):
    from django_rpc.demo.server.zoo.models import Currency

    assert field(describe("zoo.Price"), "zoo.Price", "currency").to_field == "code"
    registered(Currency, fields=["id", "name"])
    registered(Price, fields="__all__")
    column = field(describe("zoo.Price"), "zoo.Price", "currency_id")
    assert (column.type, column.max_length) == ("CharField", 3)


def test_operations_methods_and_fields_that_may_not_be_set(describe, registered):
    class OrderRpc(ModelRpc):
        fields = ["id", "number", "total", "doubled", "untyped"]
        readonly_fields = ["total"]
        operations = {"read", "update"}

        def doubled(self, obj) -> Decimal | None:
            return obj.total * 2

        def untyped(self, obj):
            return None

        def has_permission(self, request, operation):
            return operation != "update" and super().has_permission(request, operation)

    registered(Order, OrderRpc)
    order = describe("shop.Order")["shop.Order"]
    assert order.operations == ["read"]
    assert [(item.name, item.type) for item in order.computed] == [("doubled", "DecimalField"), ("untyped", None)]
    assert {item.name: item.readonly for item in order.fields} == {"id": False, "number": False, "total": True}


def test_description_of_write_only_and_call_only_models(describe, registered):
    registered(Profile, fields=["bio"], operations={"create"})
    registered(ServerModel, fields=["some_field"], operations=set(), methods=["manager_function"])
    found = describe()
    assert names(found, "shop.Profile") == ["id", "bio"]
    assert found["rpc_server.ServerModel"].fields == []
    assert found["rpc_server.ServerModel"].methods == ["manager_function"]


def test_inheritance(describe):
    found = describe("zoo.Restaurant", "zoo.OpenPlace")
    assert found["zoo.Restaurant"].parents == ["zoo.Place"]
    assert names(found, "zoo.Restaurant") == ["serves_pizza", "rating"]
    assert found["zoo.OpenPlace"].proxy_of == "zoo.Place"


def test_a_child_that_shows_less_than_its_parent_does_not_inherit(describe, registered):
    registered(Restaurant, fields=["name", "rating"])
    found = describe("zoo.Restaurant")
    assert found["zoo.Restaurant"].parents == []
    assert names(found, "zoo.Restaurant") == ["name", "place_ptr", "rating"]
    assert field(found, "zoo.Restaurant", "place_ptr").related_name is None


def test_a_child_of_a_hidden_parent_has_all_fields_itself(describe, unregistered):
    unregistered(Place)
    found = describe("zoo.Restaurant")
    assert set(found) == {"zoo.Restaurant"}
    assert {"name", "address", "rating", "place_ptr_id"} <= set(names(found, "zoo.Restaurant"))
    assert field(found, "zoo.Restaurant", "place_ptr_id").primary_key


def test_every_type_of_field(describe):
    found = describe("zoo.Everything", "zoo.Note", "zoo.Filled", "zoo.Person")
    types = {item.name: item.type for item in found["zoo.Everything"].fields}
    assert types["email"] == "EmailField"
    assert types["image"] == "ImageField"
    assert types.get("doubled", "BigIntegerField") == "BigIntegerField"
    assert field(found, "zoo.Note", "created").auto_now_add
    assert field(found, "zoo.Person", "friends").symmetrical
    assert field(found, "zoo.Person", "follows").related_name == "followers"


def test_custom_server_field_has_stored_type(describe, registered):
    from django.db import models

    from django_rpc.server.registry.field_schema import _type

    class Money(models.DecimalField):
        pass

    class Strange(models.Field):
        def db_type(self, connection):
            return "strange"

    class Packed(models.CharField):
        def get_internal_type(self):
            return "Packed"

    assert _type(Money(max_digits=5, decimal_places=2)) == "DecimalField"
    assert _type(Strange()) is None
    assert _type(Packed(max_length=5)) is None


def test_defaults(describe):
    from django.db import models

    from django_rpc.server.registry.field_schema import _default

    assert _default(models.DateField(default=datetime.date.today)) == {"called_default": "today"}
    assert _default(models.DateField(default=datetime.date(2024, 2, 29))) == {"default": datetime.date(2024, 2, 29)}
    assert _default(models.CharField(default=lambda: "secret")) == {"filled": True}
    assert _default(models.CharField(default=object())) == {"filled": True}
    assert _default(models.CharField()) == {}


def test_an_open_server_describes_all(describe, settings_of_server):
    settings_of_server(STRICT=False)
    found = describe()
    assert {"auth.User", "shop.Order", "contenttypes.ContentType"} <= set(found)
    assert "secret_note" not in names(found, "shop.Customer")


def test_no_query_but_one_for_generic_relations(ask):
    assert ask(DescribeModels(service="rpc", models=("shop.Line",))).queries == []
    assert len(ask(DescribeModels(service="rpc")).queries) == 1


@pytest.mark.skipif(not hasattr(models, "CompositePrimaryKey"), reason="since Django 5.2")
def test_composite_key_needs_visible_fields(describe, registered, monkeypatch):
    monkeypatch.setattr("django.apps.registry.Apps.register_model", lambda *args: None)

    class Cell(models.Model):
        class Meta:
            app_label = "zoo"

        pk = models.CompositePrimaryKey("row", "column")
        row = models.IntegerField()
        column = models.SlugField(allow_unicode=True)

    monkeypatch.setattr("django.apps.registry.Apps.get_model", lambda *args, **kwargs: Cell)
    registered(Cell, fields="__all__")
    found = describe("zoo.Cell")
    assert found["zoo.Cell"].composite_key == ["row", "column"]
    assert names(found, "zoo.Cell") == ["row", "column"]
    assert field(found, "zoo.Cell", "column").allow_unicode


def test_the_kind_of_an_address(describe):
    assert field(describe("zoo.Everything"), "zoo.Everything", "ip").protocol is None  # both


def test_description_has_field_permissions(describe, registered):
    class ApartRpc(ModelRpc):
        fields = ["id", "number", "status", "customer"]
        filterable_fields = ["number", "total"]
        operations = {"read", "update"}

        def get_writable_fields(self, request):
            return ["status", "created"]

    registered(Order, ApartRpc)
    found = describe("shop.Order")["shop.Order"]
    said = {item.name: (item.readonly, item.filterable) for item in found.fields}
    # A relation to a hidden model is a column; an unreadable field is no field of a mirror.
    assert said == {
        "id": (False, True),
        "number": (True, True),
        "status": (False, False),
        "customer_id": (True, False),
    }
    assert found.ordering == []


def test_mirror_has_writable_fields(describe, registered):
    from django_rpc.models.codegen import declaration as declare

    registered(Customer, fields=["id", "name", "city"], writable_fields=["name"], operations={"read", "update"})
    options = {item.name: declare._common(item) for item in describe("shop.Customer")["shop.Customer"].fields}
    assert options["city"]["editable"] is False
    assert "editable" not in options["name"]


def condition_of(check):
    return models_of({"models": [{"model": "shop.Tag", "checks": [check]}]})["shop.Tag"].checks[0].condition


def test_a_reader_ignores_unknown_keys_of_a_check():
    condition = ["OR", True, [["price__gt", "value", Decimal(1)], ["AND", False, [["cost", "field", "price"]]]]]
    assert condition_of({"name": "high", "condition": condition, "new_key": 1}) == condition


@pytest.mark.parametrize(
    "check",
    [
        {"name": "high"},
        {"name": 5, "condition": ["AND", False, [["price", "value", 1]]]},
        {"name": "high", "condition": []},
        {"name": "high", "condition": ["AND", False, []]},
        {"name": "high", "condition": ["NAND", False, [["price", "value", 1]]]},
        {"name": "high", "condition": ["AND", "no", [["price", "value", 1]]]},
        {"name": "high", "condition": ["AND", False, [["price); import os", "value", 1]]]},
        {"name": "high", "condition": ["AND", False, [["price", "field", "x y"]]]},
        {"name": "high", "condition": ["AND", False, [["price", "value", {"a": 1}]]]},
        {"name": "high", "condition": ["AND", False, [["price", "call", "x"]]]},
    ],
)
def test_a_check_of_another_form_is_refused(check):
    with pytest.raises(ValueError, match=r"describe models|unknown form|lookup path"):
        condition_of(check)
