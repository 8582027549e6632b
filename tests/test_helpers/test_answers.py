"""Canned answers: each form of a query and of a write gets the answer of a service."""

from __future__ import annotations

import asyncio
import datetime

import pytest
from django.db.models import Count, Sum
from django.utils import timezone

from django_rpc.client.session import Output, Session
from django_rpc.demo.client.shop.models import Category, Customer, CustomerCard, Line, Order, Product, Tag
from django_rpc.errors import BrokerUnavailable, RequestRefused
from django_rpc.test import (
    UnansweredMessage,
    assert_num_messages,
    canned_answers,
    capture_messages,
    in_process,
)

ADA = Customer(id=7, name="Ada", email="a@example.com", joined=datetime.date(2025, 1, 1), city="London")
ORDERS = [Order(id=n, number=f"A-{n}", customer=ADA, total=n, created=timezone.now()) for n in (1, 2, 3)]
PAID = "Order.objects.filter(status='paid')"


@pytest.fixture
def answers():
    with canned_answers() as answers:
        yield answers


def paid():
    return Order.objects.filter(status="paid")


def test_rows_as_instances(answers):
    answers.rows(paid(), ORDERS)
    found = list(paid())
    assert found == ORDERS
    assert found[0] is not ORDERS[0]
    assert [(o.number, o.total, o.created) for o in found] == [(o.number, o.total, o.created) for o in ORDERS]
    assert found[0]._state.db == "rpc"
    assert not found[0]._state.adding


def test_values_computed_from_rows(answers):
    answers.rows(paid(), ORDERS)
    assert paid().count() == len(paid()) == 3
    assert paid().exists()
    assert paid().first() == paid()[0] == ORDERS[0]
    assert list(paid()[1:]) == ORDERS[1:]
    assert [order.customer.name for order in paid().select_related("customer")] == ["Ada"] * 3
    assert list(paid().values_list("number", "customer__name")[:1]) == [("A-1", "Ada")]
    assert list(paid().values("pk", "total")[:1]) == [{"pk": 1, "total": 1}]
    assert list(paid().values_list("number", flat=True)) == ["A-1", "A-2", "A-3"]
    assert paid().delayed().first().compute() == ORDERS[0]
    assert paid().delayed().compute() == ORDERS
    assert [item.number for item in paid().only("number")] == ["A-1", "A-2", "A-3"]


def test_rows_as_dicts_and_tuples(answers):
    by_city = Customer.objects.values("city").annotate(n=Count("id"))
    answers.rows(by_city, [{"city": "London", "n": 3}])
    assert list(by_city) == [{"city": "London", "n": 3}]
    answers.rows(Customer.objects.values_list("city", "tier"), [("London", "vip")])
    assert list(Customer.objects.values_list("city", "tier")) == [("London", "vip")]
    answers.rows(Order.objects.dates("created", "year"), [datetime.date(2024, 1, 1)])
    assert list(Order.objects.dates("created", "year")) == [datetime.date(2024, 1, 1)]


def test_get_and_its_errors(answers):
    answers.rows(Order.objects.filter(pk=1), [ORDERS[0]])
    answers.rows(Order.objects.filter(pk=2), [])
    answers.rows(Order.objects.filter(pk=3), ORDERS)
    assert Order.objects.get(pk=1) == ORDERS[0]
    with pytest.raises(Order.DoesNotExist):
        Order.objects.get(pk=2)
    with pytest.raises(Order.MultipleObjectsReturned):
        Order.objects.get(pk=3)


def test_relations_and_prefetching(answers):
    answers.rows(Category, [Category(id=1, title="Tea")])
    answers.rows("Product.objects.filter(category__in=*)", [Product(id=5, sku="t", title="Oolong", category_id=1)])
    with assert_num_messages(1):
        (category,) = Category.objects.prefetch_related("products")
    assert [product.title for product in category.products.all()] == ["Oolong"]
    answers.rows("Tag.objects.filter(products__id=5)", [Tag(id=1, name="green")])
    assert [tag.name for tag in Product(id=5).tags.all()] == ["green"]


def test_computed_fields_are_attributes(answers):
    card = CustomerCard(id=1, name="Ada", display_name="Ada (vip)", order_count=4)
    answers.rows(CustomerCard, [card])
    assert CustomerCard.objects.first().order_count == CustomerCard.objects.last().order_count == 4


def test_json_and_custom_fields(answers):
    answers.rows(Product, [Product(id=1, attributes={"a": [1]})])
    assert Product.objects.first().attributes == {"a": [1]}
    assert Product.objects.delayed().first().compute().attributes == {"a": [1]}


def test_values(answers):
    answers.value(Order.objects.delayed().aggregate(sum=Sum("total")), {"sum": 12})
    assert Order.objects.aggregate(sum=Sum("total")) == {"sum": 12}
    answers.value("Customer.objects.call('top_spenders')", [{"id": 7}])
    assert Customer.objects.call("top_spenders") == [{"id": 7}]
    answers.value("Customer.objects.call(*)", lambda: ADA)
    assert Customer.objects.call("top_spenders").name == "Ada"
    answers.rows(Order.objects.filter(pk=9), ORDERS[:1])
    assert Order.objects.filter(pk=9).delayed().first().number.compute() == "A-1"


@pytest.mark.django_db(databases=["rpc"])  # Django's bulk_create() enters atomic()
def test_writes(answers):
    answers.value("Tag.save(*)", {"id": 3})
    tag = Tag.objects.create(name="green")
    assert (tag.pk, tag._state.adding) == (3, False)
    answers.value("Tag.save(id=3*)", None)
    tag.save()
    answers.value("Tag.objects.get_or_create(*)", (tag, False))
    assert Tag.objects.get_or_create(name="green") == (tag, False)
    answers.value("Tag.objects.filter(*).update(*)", 4)
    assert Tag.objects.filter(name="x").update(name="y") == 4
    answers.value("Tag.objects.get(pk=3).delete()", (1, {"shop.Tag": 1}))
    assert tag.delete() == (1, {"shop_client.Tag": 1})
    answers.value("Tag.objects.bulk_create(*)", [5, 6])
    assert [item.pk for item in Tag.objects.bulk_create([Tag(name="a"), Tag(name="b")])] == [5, 6]
    assert answers.unused == []


def test_a_write_is_named_by_its_text(answers):
    with pytest.raises(TypeError, match=r"The answer to a write is for its text: \"Tag.objects.update"):
        answers.value(Tag.objects.delayed().update(name="x"), 1)
    with pytest.raises(TypeError, match="not for 5"):
        answers.value(5, 1)


def test_the_last_answer_counts_and_errors_are_raised(answers):
    answers.rows("Order.objects*", [])
    answers.rows(paid(), ORDERS)
    assert paid().count() == 3
    assert Order.objects.filter(status="new").first() is None
    answers.error(f"{PAID}*", BrokerUnavailable("down"))
    with pytest.raises(BrokerUnavailable, match="down"):
        list(paid())
    assert answers.unused == []


def test_futures_and_async(answers):
    answers.rows(paid(), ORDERS)
    assert paid().future().count().result() == 3

    async def run():
        return [order.pk async for order in paid()], await paid().acount()

    assert asyncio.run(run()) == ([1, 2, 3], 3)


def test_row_without_column_is_reported(answers):
    answers.rows("Customer*", [{"city": "London"}])
    with pytest.raises(LookupError, match="has no 'tier'; the query brings the columns city, tier"):
        list(Customer.objects.values("city", "tier"))
    answers.rows("Customer*", [("London",)])
    with pytest.raises(LookupError, match="has 1 values"):
        list(Customer.objects.values("city", "tier"))
    answers.rows("Customer*", [ADA])
    with pytest.raises(LookupError, match="has no 'n', which the query brings"):
        list(Customer.objects.annotate(n=Count("orders")))


def test_query_without_canned_answer():
    block = canned_answers()
    answers = block.__enter__()
    answers.rows(paid(), [])
    with pytest.raises(UnansweredMessage) as caught:
        Line.objects.count()
    with pytest.raises(UnansweredMessage, match=r"continued:\n    Line.objects.count()"):
        block.__exit__(None, None, None)
    assert "The test declares no answer to\n    Line.objects.count()" in str(caught.value)
    assert f"Declared answers:\n    rows: {PAID}" in str(caught.value)
    assert answers.unused == [PAID]


def test_previous_transport_is_restored():
    from django.db import connections

    before = connections["rpc"].session.transport
    with canned_answers() as answers:
        answers.rows(Order, [])
        with in_process():
            assert connections["rpc"].session.transport is not before
        assert Order.objects.count() == 0
    assert connections["rpc"].session.transport is before


@pytest.mark.parametrize("enter", [in_process, canned_answers])
def test_only_services(enter):
    with (
        pytest.raises(ValueError, match="'default' is no service in DATABASES; the services are: rpc"),
        enter("default"),
    ):
        pass


@pytest.mark.django_db(databases=["default", "rpc"])
def test_messages(shop_data):
    with in_process(), capture_messages() as sent:
        Order.objects.filter(pk=1).count()
        with pytest.raises(Order.DoesNotExist):
            Order.objects.delayed().get(pk=-1).compute()
    assert [message.text for message in sent] == ["Order.objects.filter(pk=1).count()", "Order.objects.get(pk=-1)"]
    assert isinstance(sent[1].error, Order.DoesNotExist)
    with pytest.raises(AssertionError, match=r"^1 message was sent to 'rpc', 2 expected.\n1. Order"):  # fmt: skip
        assert_num_messages_of(2, Order.objects.count)


def assert_num_messages_of(num, function):
    with assert_num_messages(num):
        function()


@pytest.mark.django_db
def test_a_client_that_signs(shop_data, settings):
    """In the process its signature is checked, as ever; canned answers need none."""
    secret = "only for this test: make one of your own"
    settings.DJANGO_RPC = {"SERVICE": "stock", "CLIENTS": {"shop": {"keys": {"a": secret}}}}
    own = {"BROKER_URL": "redis://127.0.0.1:1/", "SERVICE": "stock", "CLIENT": "shop", "KEY_ID": "a"}
    count = Output(Order.objects.delayed().count().__rpc_node__())
    with in_process():
        assert Session({**own, "KEY": secret}).compute([count]) == [80]
        with pytest.raises(RequestRefused):
            Session({**own, "KEY": secret + "x"}).compute([count])
    with canned_answers() as answers:
        answers.rows(Order, ORDERS)
        assert Session({**own, "KEY": secret + "x"}).compute([count]) == [3]
