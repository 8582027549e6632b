"""Answers of a hostile service: they raise BadResponse, and no object of the client is altered."""

from __future__ import annotations

import threading

import pytest
from django.db.models import Count, F

from django_rpc.client import session as session_module
from django_rpc.client.decode_result import decode_result
from django_rpc.demo.client.shop.models import Customer, CustomerCard, Order, Product, Tag
from django_rpc.errors import BadResponse
from django_rpc.graph.nodes import Method, ModelSource
from django_rpc.graph.values import Record, RowSet, Table
from django_rpc.models.errors import build
from django_rpc.models.instances import MirrorResults
from django_rpc.wire.codec import decode_request, encode_response
from django_rpc.wire.messages import ErrorReport, Response

#: Names of Python and Django that an instance needs.
INTERNAL = (
    "__dict__ __class__ __init__ __eq__ __hash__ __str__ __reduce_ex__ _state _meta _rpc _prefetched_objects_cache _x "
    "save delete refresh_from_db full_clean pk objects 1x DoesNotExist from_db get_status_display "
    "products lines customer"
).split()
VALUES = ("text", 5, None, [], {"a": 1})


class Hostile:
    """A transport that answers each request with ``outputs``."""

    def __init__(self):
        self.outputs = ()

    def send(self, data, request_id, options, *, repeatable=False, token=None, headers=None):
        self.answer = encode_response(Response(id=decode_request(data).id, outputs=self.outputs))
        self.here = threading.Event()
        self.here.set()
        return self

    def wait(self, timeout):
        return self.answer

    def ready(self):
        return True


@pytest.fixture
def hostile(monkeypatch):
    transport = Hostile()
    monkeypatch.setattr(session_module, "transport_for", lambda config: transport)
    return transport


def loaded(record):
    return decode_result(record, MirrorResults("rpc"))


def order(**values):
    return Record("shop.Order", ("id", "number", *values), (1, "x", *values.values()))


@pytest.mark.parametrize("name", INTERNAL)
def test_names_of_the_class_are_not_replaced(name):
    for value in VALUES:
        if (name == "customer" and value is None) or (name in ("products", "lines") and value == []):
            continue  # no related row, and no related rows
        record = order(**{name: value})
        for answer in (record, Table(record.model, record.fields, [record.values]), [(record, True)]):
            with pytest.raises(BadResponse, match=r"no field|leads to|no list of rows"):
                loaded(answer)


def test_names_in_a_related_row_are_checked():
    inner = Record("shop.Customer", ("id", "save"), (1, "x"))
    with pytest.raises(BadResponse, match="'save'"):
        loaded(order(customer=inner))
    with pytest.raises(BadResponse, match="'_state'"):
        loaded(order(products=Table("shop.Product", ("id", "_state"), [(1, "x")])))


def test_an_instance_of_another_model_is_no_related_row():
    tag = Record("shop.Tag", ("id", "name"), (1, "x"))
    unknown = Record("nowhere.Nothing", ("id",), (1,))
    for value in (tag, unknown, [tag], Table("shop.Tag", ("id",), [(1,)])):
        with pytest.raises(BadResponse):
            loaded(order(customer=value))
    for value in (tag, [tag], Table("shop.Tag", ("id",), [(1,)]), Table("nowhere.Nothing", ("id",), [(1,)])):
        with pytest.raises(BadResponse):
            loaded(order(products=value))
        with pytest.raises(BadResponse):
            loaded(Record("shop.Customer", ("id", "profile"), (1, value)))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("id", ("x", {"a": 1}, [1], b"x")),
        ("number", ({"a": 1}, [1], (1,))),
        ("created", ("no date", 5, {"a": 1})),
        ("total", ("no number", [1], {"a": 1})),
        ("customer_id", ("x", {"a": 1}, [1])),
    ],
)
def test_a_field_holds_values_of_its_type(name, values):
    for value in values:
        with pytest.raises(BadResponse, match=name.removesuffix("_id")):
            loaded(Record("shop.Order", (name,), (value,)))


def test_valid_answers_are_loaded():
    customer = Record("shop.Customer", ("id", "name"), (7, "Ada"))
    instance = loaded(order(customer_id=7, customer=customer, rank=3, tags_there=[1, 2]))
    assert (type(instance), instance.number, instance.rank, instance.tags_there) == (Order, "x", 3, [1, 2])
    assert (type(instance.customer), instance.customer.name) == (Customer, "Ada")
    products = Table("shop.Product", ("id", "attributes"), [(1, {"a": [1]})])
    assert [type(one) for one in loaded(order(products=products)).products.all()] == [Product]
    assert loaded(order(customer=None)).number == "x"


def test_an_annotation_may_replace_a_method_that_the_user_wrote(monkeypatch):
    monkeypatch.setattr(Order, "rank", lambda self: 1, raising=False)
    with pytest.raises(BadResponse, match="'rank'"):
        loaded(order(rank=3))
    nodes = [
        Method(ModelSource("shop.Order", "rpc"), "annotate", (), {"rank": F("id"), "save": F("id"), "_state": F("id")})
    ]
    results = MirrorResults("rpc").of(nodes)
    assert decode_result(order(rank=3), results).rank == 3
    for name in ("save", "_state", "pk"):
        with pytest.raises(BadResponse):
            decode_result(order(**{name: 3}), results)


def with_parents(record, **parents):
    pairs = tuple(parents.items())
    table = Table(record.model, record.fields, [record.values], pairs)
    return (Record(record.model, record.fields, record.values, pairs), table, [(table, 1)])


def test_a_parent_is_the_row_with_the_key():
    customer = Record("shop.Customer", ("id", "name"), (7, "Ada"))
    (instance,) = loaded(with_parents(order(customer_id=7), customer=customer)[1])
    assert (instance.customer.name, instance.customer._state.adding) == ("Ada", False)
    wrong = (
        order(customer_id=8),
        order(customer_id=None),
        order(),  # its key is not known
    )
    for record in wrong:
        for answer in with_parents(record, customer=customer):
            with pytest.raises(BadResponse, match=r"a Customer with another key"):
                loaded(answer)
    profile = Record("shop.Profile", ("id", "customer_id"), (1, 8))
    for answer in with_parents(customer, profile=profile):
        with pytest.raises(BadResponse, match=r"a Profile with another key"):
            loaded(answer)


def test_a_parent_is_an_instance_of_the_related_model():
    for parent in (Record("shop.Tag", ("id", "name"), (7, "x")), Record("nowhere.Nothing", ("id",), (7,))):
        for answer in with_parents(order(customer_id=7), customer=parent):
            with pytest.raises(BadResponse, match=r"Order\.customer, which leads to Customer"):
                loaded(answer)
    for name in ("save", "_state", "unknown"):
        inner = Record("shop.Customer", ("id", name), (7, 1))
        for answer in with_parents(order(customer_id=7), customer=inner):
            if name == "unknown":
                loaded(answer)
            else:
                with pytest.raises(BadResponse, match=f"'{name}'"):
                    loaded(answer)


def test_a_parent_of_another_name_is_ignored():
    customer = Record("shop.Customer", ("id", "name"), (7, "Ada"))
    for name in INTERNAL:
        if name == "customer":
            continue
        plain = vars(loaded(order(customer_id=7))).keys()
        for answer in with_parents(order(customer_id=7), **{name: customer})[:2]:
            value = loaded(answer)
            instance = value[0] if isinstance(value, list) else value
            assert vars(instance).keys() == plain
            assert instance._state.fields_cache == {}
            assert callable(instance.save)


def test_a_parent_does_not_replace_a_row_that_was_requested():
    customers = [Record("shop.Customer", ("id", "name"), (7, name)) for name in ("Ada", "Bea")]
    for answer in with_parents(order(customer_id=7, customer=customers[0]), customer=customers[1])[:2]:
        value = loaded(answer)
        assert (value[0] if isinstance(value, list) else value).customer.name == "Ada"


def test_the_answer_to_a_save_sets_fields_alone(hostile):
    tag = Tag(name="x")
    before = vars(tag).copy()
    for answer in (
        5,
        None,
        (True,),
        [True, {}],
        ("yes", {}),
        (True, [("id", 1)]),
        (True, {"id": "x"}),
        (True, {"name": [1]}),
    ):
        hostile.outputs = (answer,)
        with pytest.raises(BadResponse):
            tag.save()
        assert vars(tag) == before
    hostile.outputs = ((True, {"id": 5, "__dict__": {}, "_state": 5, "save": 5, "extra": 5, "pk": 9}),)
    tag.save()
    assert (tag.pk, tag.name, tag._state.adding) == (5, "x", False)
    assert callable(tag.save)
    assert not hasattr(tag, "extra")


def test_rows_hold_plain_data(hostile):
    columns = ("id", "name")
    for answer in (
        5,
        [(1, "x")],
        RowSet(("id",), [(1,)]),
        RowSet(columns, [(1, Record("shop.Tag", columns, (1, "x")))]),
        RowSet(columns, [(1, RowSet(columns, []))]),
        Table("shop.Tag", columns, [(1, "x")]),
    ):
        hostile.outputs = (answer,)
        with pytest.raises(BadResponse):
            list(Tag.objects.all())
    hostile.outputs = (RowSet(columns, [(1, "x")]),)
    assert [tag.name for tag in Tag.objects.all()] == ["x"]


def test_computed_fields_are_values(hostile):
    record = Record("shop.Customer", ("id", "name", "display_name", "order_count"), (1, "Ada", "Ada (x)", 3))
    hostile.outputs = (record,)
    card = CustomerCard.objects.delayed().first().compute()
    assert (card.display_name, card.order_count) == ("Ada (x)", 3)


@pytest.mark.parametrize("answer", [None, "x", [1], (1,), {"a": 1}, Record("shop.Tag", ("id",), (1,))])
def test_a_method_returns_a_value_of_its_type(hostile, answer):
    hostile.outputs = (answer,)
    for call in (Order.objects.count, Order.objects.exists, lambda: Order.objects.update(number="x")):
        with pytest.raises(BadResponse, match=r"answer of the service to \w+\(\)"):
            call()
    if type(answer) is not dict:
        with pytest.raises(BadResponse, match=r"aggregate\(\)"):
            Order.objects.aggregate(n=Count("pk"))


@pytest.mark.parametrize(
    "answer",
    [
        *(None, 5, [], (), (1,), {"a": 1}, Record("shop.Order", ("id",), (1,))),
        *((Record("shop.Tag", ("id", "name"), (1, "x")), True), (Record("nowhere.Nothing", ("id",), (1,)), True)),
        *((5, True), (None, False), ({"id": 1}, True), ([Record("shop.Order", ("id",), (1,))], True)),
        *((Record("shop.Order", ("id",), (1,)), "yes"), (Record("shop.Order", ("id",), (1,)), None)),
        (Record("shop.Order", ("id",), (1,)), True, 5),
    ],
)
def test_get_or_create_returns_an_instance_of_its_model(hostile, answer):
    hostile.outputs = (answer,)
    customer = Customer(pk=1)
    for call in (
        lambda: Order.objects.get_or_create(number="x"),
        lambda: Order.objects.update_or_create(number="x", defaults={"status": "new"}),
        lambda: Order.objects.future().get_or_create(number="x").result(),
        lambda: customer.orders.get_or_create(number="x"),
    ):
        with pytest.raises(BadResponse):
            call()


def test_get_or_create_returns_other_mirrors_and_plain_rows(hostile):
    hostile.outputs = ((Record("shop.Customer", ("id", "name"), (1, "Ada")), True),)
    for model in (Customer, CustomerCard):
        instance, created = model.objects.get_or_create(name="Ada")
        assert (type(instance), instance.pk, created) == (model, 1, True)
    hostile.outputs = (({"id": 1}, False),)
    assert Customer.objects.values("id").get_or_create(name="Ada") == ({"id": 1}, False)


@pytest.mark.parametrize(
    "answer", [(1,), (1, 5), (1, None), ("x", {}), (1, {"shop.Order": "x"}), (1, {5: 1}), (True, {}), (1, {}, {})]
)
def test_delete_returns_numbers_of_rows(hostile, answer):
    hostile.outputs = (answer,)
    for call in (
        lambda: Tag.objects.filter(name="x").delete(),
        lambda: Tag(pk=1).delete(),
        lambda: Tag.objects.filter(name="x").future().delete().result(),
    ):
        with pytest.raises(BadResponse, match=r"delete\(\)"):
            call()


@pytest.mark.parametrize("message", ["%(a)999999999s", "%(a).999999999f", "%999999999s", "%(a)-0099999s", "%(a)*d"])
def test_a_message_makes_no_text_of_any_length(message):
    for data in ([message, None, {"a": 1}], {"name": [[message, None, {"a": 1}]]}):
        error = build(MirrorResults("rpc"), ErrorReport(code="ValidationError", message="short", data=data), None)
        assert error.messages == ["short"]


def test_protected_rows_are_rows_with_keys():
    rows = [Record("shop.Order", ("number",), ("x",)), {"a": 1}, [1], Record("shop.Order", ("id",), (7,))]
    for code in ("ProtectedError", "RestrictedError"):
        error = build(MirrorResults("rpc"), ErrorReport(code=code, message="x", data=rows), None)
        assert {row.pk for row in error.args[1]} <= {7}
