"""Instances that a client names: no text, no field and no code of a row that it does not see."""

from __future__ import annotations

import pytest

from django_rpc.demo.server.shop.models import Category, Customer, Line, Order, Product, Profile, Tag
from django_rpc.demo.server.zoo.models import Currency, Place, Price, Restaurant
from django_rpc.server import ModelRpc, site

from .conftest import expr, method, ref

ALL = {"read", "create", "update", "delete"}
CUSTOMERS, ORDERS = ["source", "shop.Customer"], ["source", "shop.Order"]
LINES, TAGS = ["source", "shop.Line"], ["source", "shop.Tag"]
MINE, OTHERS = 1, 20
ORDER = ["source", "shop.Order"]
LOADED = [CUSTOMERS, method(0, "get", pk=MINE)]
"""The nodes of an instance that the client sees, the second of them."""


def named(model, key):
    return {"$instance": [model, key]}


class OwnCustomerRpc(ModelRpc):
    fields = ["id", "name", "email", "notes", "referred_by", "display_name"]
    operations = ALL
    methods = ["told"]

    def get_queryset(self, request):
        return super().get_queryset(request).filter(secret_note="mine")

    def told(self, request, instance, *values):
        return repr(values)


@pytest.fixture(autouse=True)
def texts(shop_data, registered, monkeypatch):
    """The texts of customers that were made; the client sees the first five of them."""
    Customer.objects.update(secret_note="of others", name="A secret name")
    Customer.objects.filter(pk__lte=5).update(secret_note="mine", name="A shown name", referred_by=OTHERS)
    registered(Customer, OwnCustomerRpc)
    made = []

    def text(self):
        made.append(self.pk)
        return f"text of {self.name}, referred by {self.referred_by and self.referred_by.name}"

    monkeypatch.setattr(Customer, "__str__", text)
    monkeypatch.setattr(Customer, "__repr__", text)
    return made


def instances():
    """Name -> (the nodes before, the argument): a reference in scope, one out of scope, and a loaded instance."""
    return {
        "seen": ([], named("shop.Customer", MINE)),
        "of others": ([], named("shop.Customer", OTHERS)),
        "loaded": (LOADED, ref(1)),
    }


CONTAINERS = {
    "alone": lambda value: value,
    "in a list": lambda value: [value],
    "in a tuple": lambda value: {"$tuple": [value]},
    "in a list of lists": lambda value: [[1, [value]]],
    "in a dict": lambda value: {"a": value},
    "in a dict of lists": lambda value: {"a": [value, 1]},
    "in a slice": lambda value: {"$slice": [value, None, None]},
}


def _filtered(name, lookup):
    return lambda at, value: [ORDER, method(at, name, **{lookup: value}), method(at + 1, "count")]


TEXT = expr("CharField", max_length=99)
#: Nodes with a value where an instance is not allowed, starting at the place of the first node.
USES = {
    "a value": lambda at, x: [
        ORDER,
        method(at, "annotate", x=expr("Value", x, output_field=TEXT)),
        method(at + 1, "first"),
    ],
    "a value in values()": lambda at, x: [ORDER, method(at, "values", x=expr("Value", x)), method(at + 1, "first")],
    "an argument of a function": lambda at, x: [
        ORDER,
        method(at, "annotate", x=expr("Concat", "number", expr("Value", x, output_field=TEXT))),
        method(at + 1, "first"),
    ],
    "coalesce": lambda at, x: [ORDER, method(at, "annotate", x=expr("Coalesce", "number", x)), method(at + 1, "first")],
    "then": lambda at, x: [
        ORDER,
        method(at, "annotate", x=expr("Case", expr("When", {"$q": ["AND", False, [["pk__gt", 0]]]}, then=x))),
        method(at + 1, "first"),
    ],
    "json": lambda at, x: [ORDER, method(at, "annotate", x=expr("JSONObject", a=x)), method(at + 1, "first")],
    "a lookup expression": lambda at, x: [
        ORDER,
        method(at, "filter", expr("lookup:exact", expr("F", "number"), x)),
        method(at + 1, "count"),
    ],
    **{
        f"{name}(number{lookup})": _filtered(name, f"number{lookup}")
        for name in ("filter", "exclude")
        for lookup in ("", "__lte", "__gt", "__contains", "__startswith", "__iexact", "__in", "__range", "__regex")
    },
    "filter(total)": lambda at, x: [ORDER, method(at, "filter", total=x), method(at + 1, "count")],
    "filter(pk)": lambda at, x: [ORDER, method(at, "filter", pk=x), method(at + 1, "count")],
    "filter(json)": lambda at, x: [
        ["source", "shop.Product"],
        method(at, "filter", attributes__contains=x),
        method(at + 1, "count"),
    ],
    "filter(an annotation)": lambda at, x: [
        ORDER,
        method(at, "annotate", x=expr("Lower", "number")),
        method(at + 1, "filter", x__lte=x),
        method(at + 2, "count"),
    ],
    "a condition": lambda at, x: [
        ORDER,
        method(at, "filter", {"$q": ["AND", False, [["number__lte", x]]]}),
        method(at + 1, "count"),
    ],
    "a filter of an aggregate": lambda at, x: [
        ORDER,
        method(at, "aggregate", n=expr("Count", "pk", filter={"$q": ["AND", False, [["number__lte", x]]]})),
    ],
    "order_by": lambda at, x: [ORDER, method(at, "order_by", x), method(at + 1, "first")],
    "annotate": lambda at, x: [ORDER, method(at, "annotate", x=x), method(at + 1, "first")],
    "aggregate": lambda at, x: [ORDER, method(at, "aggregate", x=x)],
    "in_bulk": lambda at, x: [ORDER, method(at, "in_bulk", [x])],
    "create": lambda at, x: [TAGS, method(at, "create", name=x)],
    "create json": lambda at, x: [
        ["source", "shop.Product"],
        method(at, "create", sku="x", title="x", price=1, category_id=1, attributes=x),
    ],
    "get_or_create": lambda at, x: [TAGS, method(at, "get_or_create", name=x)],
    "get_or_create(defaults)": lambda at, x: [TAGS, method(at, "get_or_create", name="x", defaults={"name": x})],
    "get_or_create(defaults in their place)": lambda at, x: [TAGS, method(at, "get_or_create", {"name": x}, name="x")],
    "update_or_create": lambda at, x: [TAGS, method(at, "update_or_create", name="x", create_defaults={"name": x})],
    "update": lambda at, x: [TAGS, method(at, "update", name=x)],
    "getset": lambda at, x: [TAGS, method(at, "getset", name=x)],
    "bulk_update": lambda at, x: [TAGS, method(at, "bulk_update", ["name"], [[1, x]])],
    "a key of bulk_update": lambda at, x: [TAGS, method(at, "bulk_update", ["name"], [[x, "x"]])],
    "save": lambda at, x: [["save", "shop.Tag", {"name": x}, True, {}]],
    "insert": lambda at, x: [["insert", "shop.Tag", ["name"], ["any"], [[x]], {"returning": ["name"]}]],
    "join": lambda at, x: [["literal", ", "], method(at, "join", [x])],
    "add": lambda at, x: [["operator", "add", ["text ", x]]],
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("use", USES)
def test_no_text_of_an_instance(send, texts, use, container):
    """Wherever a value belongs, an instance is refused, and no text of it is made, not even for the error."""
    before = list(Tag.objects.order_by("pk").values())
    for kind, (nodes, value) in instances().items():
        answered = send([*nodes, *USES[use](len(nodes), CONTAINERS[container](value))])
        assert answered.error is not None, (kind, answered.text)
        assert answered.code not in ("InternalError", "RemoteError", "DatabaseError"), (kind, answered.text)
        for text in ("secret", "text of", "shown name"):
            assert text not in answered.text, (kind, answered.text)
    assert texts == []
    assert list(Tag.objects.order_by("pk").values()) == before


def test_only_model_and_key_are_on_the_wire(send):
    for value in ({"id": MINE}, {"id": MINE, "name": "x"}, None, [MINE], {"$set": [MINE]}, expr("F", "pk")):
        assert send([["literal", named("shop.Customer", value)]]).code == "BadValue"
    assert send([["literal", {"$instance": ["shop.Customer", MINE, {"name": "x"}]}]]).code == "BadValue"
    for value in ("x", {"$tuple": [1, 2]}, {"$int": str(2**70)}):
        answered = send([["literal", named("shop.Customer", value)]])
        assert answered.code in ("ValidationError", "ValueError", "DoesNotExist"), answered.text


#: Nodes that run code of a model, starting at the first.
CODE = {
    "as output": lambda x: [["literal", x]],
    "in a list": lambda x: [["literal", [[x]]]],
    "a computed field": lambda x: [["literal", x], ["attr", 0, "display_name"]],
    "a field": lambda x: [["literal", x], ["attr", 0, "name"]],
    "a relation": lambda x: [["literal", x], ["attr", 0, "referred_by"]],
    "rows of a relation": lambda x: [["literal", x], ["attr", 0, "orders"], method(1, "count")],
    "refresh": lambda x: [["literal", x], method(0, "refresh")],
    "save()": lambda x: [["literal", x], method(0, "save")],
    "delete()": lambda x: [["literal", x], method(0, "delete")],
    "a method": lambda x: [["literal", x], ["call", 0, "told", [], {}]],
    "an argument of a method": lambda x: [*LOADED, ["call", 1, "told", [x], {}]],
    "a set of a method": lambda x: [*LOADED, ["call", 1, "told", [{"$set": [x]}], {}]],
    "a frozen set in a dict": lambda x: [*LOADED, ["call", 1, "told", [{"$dict": [[1, [{"$frozenset": [x]}]]]}], {}]],
    "a key of a dict": lambda x: [*LOADED, ["call", 1, "told", [{"$dict": [[x, 1]]}], {}]],
    "a function": lambda x: [["function", "forged", [x], {}, True]],
    "a set of a function": lambda x: [["function", "forged", [{"$set": [{"$tuple": [x]}]}], {}, True]],
    "a keyword of a function": lambda x: [["function", "forged", [], {"found": [{"$set": [x]}]}, True]],
    "an element of a map": lambda x: [
        ["literal", [x]],
        ["param", 0],
        ["attr", 1, "display_name"],
        ["map", 0, 1, 2, False],
    ],
    "taken from a list": lambda x: [["literal", [x]], ["item", 0, 0], ["attr", 1, "display_name"]],
}


@pytest.fixture
def forged():
    site.function(name="forged", reads_only=True)(lambda *args, **kwargs: repr((args, kwargs)))
    yield
    site.functions.pop("forged")


@pytest.mark.parametrize("use", CODE)
def test_code_runs_on_rows_of_the_client_alone(send, forged, texts, use, monkeypatch):
    """Of a row of others there is neither a field nor a method, property, hash or comparison."""
    touched = []

    def noted(name):
        real = getattr(Customer, name)

        def method(self, *args, **kwargs):
            touched.append(self.pk)
            return real(self, *args, **kwargs)

        return method

    for name in ("display_name", "save", "delete", "__hash__", "__eq__", "refresh_from_db"):
        monkeypatch.setattr(Customer, name, noted(name))
    nodes = CODE[use](named("shop.Customer", OTHERS))
    answered = send(nodes)
    assert answered.code == "DoesNotExist", answered.text
    assert "secret" not in answered.text
    assert OTHERS not in touched + texts
    assert Customer.objects.filter(pk=OTHERS).exists()


@pytest.mark.parametrize("use", sorted(CODE.keys() - {"delete()", "a relation"}))
def test_an_instance_of_the_client_is_loaded(send, forged, use):
    answered = send(CODE[use](named("shop.Customer", MINE)))
    assert answered.error is None, answered.text


def test_instances_are_compared_by_their_keys(send):
    for value, equal in ((named("shop.Customer", MINE), True), (named("shop.Customer", 2), False)):
        assert send([*LOADED, ["operator", "eq", [ref(1), value]]]).output is equal
        assert send([*LOADED, ["operator", "ne", [value, ref(1)]]]).output is not equal
        assert send([*LOADED, ["operator", "contains", [[value], ref(1)]]]).output is equal
    assert send([*LOADED, ["operator", "eq", [ref(1), named("shop.Tag", MINE)]]]).output is False
    assert send([CUSTOMERS, method(0, "contains", named("shop.Customer", MINE))]).output is True
    assert send([CUSTOMERS, method(0, "contains", named("shop.Customer", OTHERS))]).output is False
    assert send([CUSTOMERS, method(0, "contains", named("shop.Tag", MINE))]).output is False


# Columns of through tables


@pytest.mark.parametrize(
    "alias", ["id", "pk", "name", "secret_note", "_state", "_prefetch_related_val_x", "rpc_through__id"]
)
@pytest.mark.parametrize(
    "column",
    [("shop.Customer", "secret_note"), ("shop.Order", "total"), ("shop.Line", "quantity"), ("shop.Tag", "id")],
)
def test_a_column_of_a_through_model_takes_the_place_of_nothing(send, alias, column):
    """It is a foreign key of the relation's table, under a name that no model has."""
    for source, joined in ((["source", "shop.Product"], "orders__number__gt"), (ORDERS, "products__sku__gt")):
        nodes = [source, method(0, "filter", **{joined: ""}), method(1, "through_columns", **{alias: list(column)})]
        for more in ([method(2, "first")], [["rows", 2, ["id", alias]]], [method(2, "delete")]):
            answered = send([*nodes, *more])
            assert answered.code in ("BadValue", "BadMessage", "FieldError", "UnknownModel"), answered.text
            assert answered.data_statements == []


# Writes


def test_related_rows_keep_their_values(send):
    """``add(bulk=False)`` saves the row as it is: the message holds none of its values."""
    order = Order.objects.exclude(customer=MINE).first()
    total = order.total
    nodes = [*LOADED, ["attr", 1, "orders"]]
    for value in ({"id": order.pk, "total": 5}, {"id": order.pk}):
        assert send([*nodes, method(2, "add", named("shop.Order", value), bulk=False)]).code == "BadValue"
    assert send([*nodes, method(2, "add", named("shop.Order", order.pk), bulk=False)]).error is None
    order.refresh_from_db()
    assert (order.customer_id, order.total) == (MINE, total)


def test_related_rows_need_the_permission_to_change_them(send, registered):
    order = Order.objects.exclude(customer=MINE).first()
    registered(Order, fields=["id", "customer", "total"], operations={"read"})
    nodes = [*LOADED, ["attr", 1, "orders"], method(2, "add", named("shop.Order", order.pk), bulk=False)]
    assert send(nodes).code == "PermissionDenied"
    registered(Order, fields=["id", "customer", "total"], operations=ALL, readonly_fields=["customer"])
    assert send(nodes).code == "PermissionDenied"


KEYS = {
    "another model": lambda: ([], named("shop.Category", MINE)),
    "another model that is loaded": lambda: ([["source", "shop.Product"], method(0, "get", pk=MINE)], ref(1)),
    "a row of others": lambda: ([], named("shop.Customer", OTHERS)),
}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize(
    "way", ["update", "getset", "bulk_update", "create", "get_or_create", "defaults", "save", "insert"]
)
def test_a_foreign_key_leads_to_a_row_of_the_client(send, kind, way):
    """An instance of another model has no key to give, and a row of others cannot be reached."""
    before = list(Order.objects.order_by("pk").values())
    nodes, value = KEYS[kind]()
    at = len(nodes)
    order = Order.objects.first().pk
    use = {
        "update": [ORDERS, method(at, "update", customer=value)],
        "getset": [ORDERS, method(at, "getset", customer=value)],
        "bulk_update": [ORDERS, method(at, "bulk_update", ["customer"], [[order, value]])],
        "create": [ORDERS, method(at, "create", number="x", customer=value)],
        "get_or_create": [ORDERS, method(at, "get_or_create", number="x", customer=value)],
        "defaults": [ORDERS, method(at, "update_or_create", pk=order, defaults={"customer": value})],
        "save": [["save", "shop.Order", {"id": order, "customer_id": value}, False, {}]],
        "insert": [["insert", "shop.Order", ["number", "customer_id"], ["str", "any"], [["x", value]], {}]],
    }[way]
    answered = send([*nodes, *use])
    assert answered.code in ("ValueError", "ValidationError"), answered.text
    assert "secret" not in answered.text
    assert list(Order.objects.order_by("pk").values()) == before


@pytest.mark.parametrize("kind", ["another model", "another model that is loaded"])
@pytest.mark.parametrize(
    "lookup", ["customer", "customer__exact", "customer__in", "customer__gte", "customer__referred_by"]
)
def test_a_relation_is_compared_with_instances_of_its_model(send, kind, lookup):
    nodes, value = KEYS[kind]()
    given = [value] if lookup.endswith("__in") else value
    answered = send([*nodes, ORDERS, method(len(nodes), "filter", **{lookup: given}), method(len(nodes) + 1, "count")])
    assert answered.code == "ValueError", answered.text


# Values that Django accepts


@pytest.fixture
def zoo(db):
    currency = Currency.objects.create(pk=77, code="EUR", name="Euro")
    Currency.objects.create(pk=78, code="USD", name="Dollar")
    Price.objects.create(currency=currency, amount=5)
    restaurant = Restaurant.objects.create(name="Inn", rating=3)
    return currency, restaurant


def test_a_foreign_key_to_another_field(send, zoo):
    """The value that it leads to is read from the row, in the scope of the client."""
    prices = ["source", "zoo.Price"]
    euro, dollar, none = (named("zoo.Currency", key) for key in (77, 78, 79))
    for lookup, value, count in (
        ("currency", euro, 1),
        ("currency", dollar, 0),
        ("currency", none, 0),
        ("currency__in", [euro, none], 1),
        ("currency__in", [none], 0),
        ("currency__lte", euro, 1),
    ):
        assert send([prices, method(0, "filter", **{lookup: value}), method(1, "count")]).output == count, lookup
    assert send([prices, method(0, "exclude", currency=none), method(1, "count")]).output == 1
    assert send([prices, method(0, "create", currency=dollar, amount=1)]).error is None
    assert send([prices, method(0, "filter", amount=5), method(1, "update", currency=dollar)]).output == 1
    assert send([prices, method(0, "get_or_create", currency=dollar, amount=9)]).error is None
    assert set(Price.objects.values_list("currency_id", flat=True)) == {"USD"}
    assert send([prices, method(0, "create", currency=none, amount=1)]).code == "ValidationError"


def test_hidden_rows_by_another_field(send, zoo, registered):
    registered(
        Currency,
        type(
            "Rpc",
            (ModelRpc,),
            {"fields": ["id", "code"], "get_queryset": lambda self, request: Currency.objects.filter(code="USD")},
        ),
    )
    for value in (named("zoo.Currency", 77), named("zoo.Currency", 5)):
        assert send([["source", "zoo.Price"], method(0, "filter", currency=value), method(1, "count")]).output == 0


def test_parents_children_and_proxies(send, zoo):
    key = zoo[1].pk
    places = ["source", "zoo.Place"]
    restaurants = ["source", "zoo.Restaurant"]
    for label in ("zoo.Restaurant", "zoo.Place"):
        value = named(label, key)
        assert send([places, method(0, "filter", restaurant=value), method(1, "count")]).output == 1, label
        assert send([restaurants, method(0, "filter", place_ptr=value), method(1, "count")]).output == 1, label
    proxy = named("zoo.OpenPlace", key)
    assert send([restaurants, method(0, "filter", place_ptr=proxy), method(1, "count")]).output == 1
    assert send([["source", "zoo.Restaurant"], method(0, "contains", named("zoo.Restaurant", key))]).output is True
    assert Place.objects.filter(pk=key).exists()


def test_one_to_one_many_to_many_and_many(send):
    tag, product = Tag.objects.first(), Product.objects.first()
    product.tags.set([tag])
    profile = Profile.objects.filter(customer_id=MINE).first() or Profile.objects.create(customer_id=MINE)
    products = ["source", "shop.Product"]
    assert (
        send([CUSTOMERS, method(0, "filter", profile=named("shop.Profile", profile.pk)), method(1, "count")]).output
        == 1
    )
    assert send([["source", "shop.Profile"], method(0, "get", customer=named("shop.Customer", MINE))]).error is None
    found = Product.objects.filter(tags=tag).count()
    assert send([products, method(0, "filter", tags=named("shop.Tag", tag.pk)), method(1, "count")]).output == found
    relation = [products, method(0, "get", pk=product.pk), ["attr", 1, "tags"]]
    other = Tag.objects.exclude(pk=tag.pk).first()
    for name, values, after in (
        ("add", [named("shop.Tag", other.pk)], {tag, other}),
        ("remove", [named("shop.Tag", tag.pk)], {other}),
        ("set", [[named("shop.Tag", tag.pk), other.pk]], {tag, other}),
    ):
        assert send([*relation, method(2, name, *values)]).error is None
        assert set(product.tags.all()) == after
    answered = send([*relation, method(2, "add", named("shop.Category", Category.objects.first().pk))])
    assert answered.code == "TypeError"


def test_references_are_loaded_by_one_statement(send):
    values = [named("shop.Line", key) for key in Line.objects.values_list("pk", flat=True)[:20]]
    answered = send([["literal", values]])
    assert len(answered.output) == 20
    assert len(answered.data_statements) == 1
    answered = send(
        [ORDERS, method(0, "filter", customer__in=[named("shop.Customer", key) for key in (1, 2)]), method(1, "count")]
    )
    assert len(answered.data_statements) == 1


def test_references_with_equal_hashes(send):
    """The server collects references in sets: those with one hash would take the square of their number."""
    keys = [{"$int": str(number * (2**61 - 1))} for number in range(1, 1000)]
    answered = send([["literal", [named("shop.Customer", key) for key in keys]]])
    assert answered.code == "BadValue"
    assert "hash" in answered.message
