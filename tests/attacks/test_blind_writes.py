"""A client that may write and not read: no answer to a write contains a value of the row, or confirms a guess."""

from __future__ import annotations

import pytest
from django.contrib.contenttypes.models import ContentType

from django_rpc.demo.server.shop.models import Customer, Order
from django_rpc.demo.server.zoo.models import Bookmark, TaggedItem
from django_rpc.server import ModelRpc

from .conftest import expr, method

CUSTOMERS = ["source", "shop.Customer"]
NEW = {"name": "New", "email": "new@example.org", "joined": "2025-01-01"}


class BlindCustomerRpc(ModelRpc):
    """Customers that clients may create and update, and not read."""

    fields = ["id", "name", "email", "city", "joined", "tier", "credit", "referred_by"]
    readonly_fields = ["city", "tier"]
    operations = {"create", "update"}


@pytest.fixture(autouse=True)
def rows(shop_data, registered):
    Customer.objects.filter(pk=1).update(city="Secret-Town", tier="vip", credit=77, name="Secret-Name")
    registered(Customer, BlindCustomerRpc)


def save(values, adding=False, **options):
    return ["save", "shop.Customer", values, adding, options]


SHAPES = {"shapes": {"shop.Customer": ["id", "name", "email", "city", "joined", "tier", "credit", "referred_by"]}}


def test_the_answer_to_a_save_holds_the_key(send):
    """The shapes of the request name all fields, and change nothing."""
    for node in (
        save({"id": 1, "name": "x"}),
        save({"id": 1}),
        save({"id": 1, "name": "x"}, update_fields=["name"]),
        save({"id": 1, "credit": 5}),
        save({"id": 1, "name": "x"}, adding=True),
        save({"id": 1, **NEW}, adding=True),
        save({**NEW, "name": " Ünï ", "email": "other@example.org"}, adding=True),
    ):
        answered = send([node], **SHAPES)
        created, changed = answered.output["$tuple"] if isinstance(answered.output, dict) else answered.output
        assert set(changed) == {"id"}, node
        assert "Secret" not in answered.text
        assert created in (True, False)


def test_value_read_from_save_is_the_sent_value(send):
    """Later nodes of the graph may use the values that the client sent, and the key."""
    for name, value in (("name", "sent"), ("id", 1)):
        answered = send([save({"id": 1, "name": "sent"}), ["item", 0, 1], ["item", 1, name]], **SHAPES)
        assert answered.output == value
    for name in ("city", "tier", "credit", "secret_note", "joined"):
        answered = send([save({"id": 1, "name": "sent"}), ["item", 0, 1], ["item", 1, name]], **SHAPES)
        assert answered.error is not None
        assert "Secret" not in answered.text


@pytest.mark.parametrize("name", ["city", "tier", "secret_note"])
def test_a_right_guess_has_the_answer_of_a_wrong_guess(send, name):
    """A value of a read-only field is refused, also the right value."""
    right = Customer.objects.values_list(name, flat=True).get(pk=1) or "Secret-Note"
    Customer.objects.filter(pk=1).update(**{name: right})
    for_new = {**NEW, "id": 1, "email": "one@example.org"}
    for values in ({"id": 1, "name": "x"}, for_new):  # for an existing row, and as if it were new
        for adding in (True, False):
            answers = [send([save({**values, name: guess}, adding)]) for guess in (right, "wrong")]
            assert len({(a.code, a.error and a.message) for a in answers}) == 1
    for options in ({}, {"update_fields": ["name"]}, {"update_fields": ["name", name]}, {"raw": True}):
        answers = [send([save({"id": 1, "name": "x", name: guess}, **options)]) for guess in (right, "wrong")]
        assert len({(a.code, a.error and a.message) for a in answers}) == 1
        if not options:
            assert answers[0].error is not None
    assert getattr(Customer.objects.get(pk=1), name) == right


def test_a_foreign_key_that_is_guessed(send, registered):
    """A row of another client is refused as the target, also where the foreign key leads to it already."""

    class OwnCustomerRpc(BlindCustomerRpc):
        operations = {"read", "create", "update"}

        def get_queryset(self, request):
            return super().get_queryset(request).filter(pk__lte=5)

    class BlindOrderRpc(ModelRpc):
        fields = ["id", "number", "status"]
        writable_fields = ["number", "status", "customer"]
        operations = {"read", "create", "update"}

    registered(Customer, OwnCustomerRpc)
    registered(Order, BlindOrderRpc)
    order = Order.objects.first()
    Order.objects.filter(pk=order.pk).update(customer=20)
    for operations in ({"read", "create", "update"}, {"create", "update"}):
        BlindOrderRpc.operations = operations
        answers = [
            send([["save", "shop.Order", {"id": order.pk, "customer_id": guess}, False, {}]]) for guess in (20, 21)
        ]
        assert {a.code for a in answers} == {"ValidationError"}


def test_a_generic_foreign_key_that_is_guessed(send, registered):
    class OwnBookmarkRpc(ModelRpc):
        fields = "__all__"

        def get_queryset(self, request):
            return super().get_queryset(request).none()

    registered(Bookmark, OwnBookmarkRpc)
    registered(TaggedItem, fields="__all__", operations={"create", "update"})
    theirs = Bookmark.objects.create(url="https://t.example")
    item = TaggedItem.objects.create(
        tag="a", content_type=ContentType.objects.get_for_model(Bookmark), object_id=theirs.pk
    )
    answers = [
        send([["save", "zoo.TaggedItem", {"id": item.pk, "object_id": guess}, False, {}]])
        for guess in (theirs.pk, theirs.pk + 1)
    ]
    assert {a.code for a in answers} == {"ValidationError"}


def test_inserted_rows_return_their_keys(send):
    names = ["name", "email", "joined"]
    kinds = ["str", "str", "str"]
    for returning in (["id", "city"], ["city"], ["tier"], ["credit", "id"], ["secret_note"], ["name"]):
        row = ["a", f"{'-'.join(returning)}@example.org", "2025-01-01"]
        answered = send([["insert", "shop.Customer", names, kinds, [row], {"returning": returning}]])
        assert answered.error is not None
        assert not Customer.objects.filter(email=row[1]).exists()
    for conflict in ({}, {"on_conflict": "ignore"},
                     {"on_conflict": "update", "update_fields": ["name"], "unique_fields": ["email"]}):  # fmt: skip
        row = ["a", f"key-{len(conflict)}@example.org", "2025-01-01"]
        options = {"returning": ["id"], **conflict}
        answered = send([["insert", "shop.Customer", names, kinds, [row], options]])
        assert answered.error is None, answered.text
        assert "Town" not in answered.text


def test_other_writes_return_no_value(send):
    """``create`` and the writes that read rows first."""
    made = send([CUSTOMERS, method(0, "create", **NEW)], **SHAPES)
    assert made.error is None
    key = Customer.objects.get(email=NEW["email"]).pk
    assert made.output["$record"][-1] == [key] or str(key) in made.text
    assert "2025" not in made.text
    for nodes in (
        [CUSTOMERS, method(0, "create", **{**NEW, "email": "b@example.org"}), ["attr", 1, "city"]],
        [CUSTOMERS, method(0, "create", **{**NEW, "email": "c@example.org"}), ["attr", 1, "tier"]],
        [CUSTOMERS, method(0, "create", **{**NEW, "email": "d@example.org"}), method(1, "refresh")],
        [CUSTOMERS, method(0, "get_or_create", name="Secret-Name", defaults=NEW)],
        [CUSTOMERS, method(0, "update_or_create", name="Secret-Name", defaults={"credit": 1})],
        [CUSTOMERS, method(0, "getset", name="x")],
        [CUSTOMERS, method(0, "filter", name="Secret-Name"), method(1, "update", credit=5)],
        [CUSTOMERS, method(0, "bulk_update", ["credit"], [[1, 5]])],
        [save({"id": 1, "name": expr("F", "city")})],
        [save({"id": 1, "name": expr("Upper", expr("F", "tier"))})],
    ):
        answered = send(nodes)
        assert answered.error is not None, nodes
        assert "Secret" not in answered.text
    row = Customer.objects.get(pk=1)
    assert (row.name, row.credit) == ("Secret-Name", 77)
