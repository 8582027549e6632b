"""``select_for_update()``: refused where its lock ends before the write, and sent where both are in one message."""

from __future__ import annotations

import contextlib

import pytest
from django.db import transaction
from django.db.models import F, Max
from django.db.models.signals import post_save
from django.db.transaction import TransactionManagementError

import django_rpc
from django_rpc import delayed

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


@pytest.fixture
def products(shop_data, remote):
    return remote.Product.objects


READS = {
    "iteration": lambda products: list(products.select_for_update()),
    "get": lambda products: products.select_for_update().get(pk=1),
    "first": lambda products: products.select_for_update().first(),
    "values": lambda products: list(products.select_for_update().values("pk")),
    "in_bulk": lambda products: products.select_for_update().in_bulk([1]),
    "iterator": lambda products: list(products.select_for_update().iterator(10)),
    "slice": lambda products: products.select_for_update().order_by("pk")[0],
    "options": lambda products: list(products.select_for_update(nowait=True, of=("self",))),
    "before a filter": lambda products: products.select_for_update().filter(pk=1).exists(),
    "subquery": lambda products: list(products.filter(pk__in=products.select_for_update())),
    "future": lambda products: products.select_for_update().future().get(pk=1).result(),
    "submit": lambda products: products.select_for_update().submit().result(),
    "delayed": lambda products: products.delayed().select_for_update().get(pk=1).compute(),
    "several outputs": lambda products: django_rpc.compute(
        products.delayed().count(), products.delayed().select_for_update().first()
    ),
    "map": lambda products: products.delayed().select_for_update().map(lambda product: product.price).compute(),
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("block", [None, transaction.atomic, django_rpc.atomic])
def test_a_read_without_a_write_is_refused(products, messages, name, block):
    """No message is sent; the error names another way to write."""
    refused = pytest.raises(TransactionManagementError, match=r"this message writes nothing.*Delayed")
    with messages() as sent, refused, contextlib.nullcontext() if block is None else block(using="rpc"):
        READS[name](products)
    assert [entry for entry in sent if "select_for_update" in entry["sql"]] == []


WITHOUT_LOCK = {
    "count": lambda products: products.select_for_update().count(),
    "aggregate": lambda products: products.select_for_update().filter(pk__gt=1).aggregate(last=Max("pk")),
    "slice": lambda products: products.select_for_update()[:3].count(),
    "delayed": lambda products: products.delayed().select_for_update().filter(pk__gt=1).count().compute(),
}


@pytest.mark.parametrize("name", WITHOUT_LOCK)
def test_a_lock_is_ignored_where_django_ignores_it(products, local, name):
    """Django takes the lock out of the statement of an aggregate, and raises no error."""
    rows = WITHOUT_LOCK[name](products)
    if name != "delayed":
        assert rows == WITHOUT_LOCK[name](local.Product.objects)
    locked = products.delayed().select_for_update()
    with pytest.raises(TransactionManagementError, match="this message writes nothing"):
        django_rpc.compute(locked.count(), locked.first())
    with pytest.raises(TransactionManagementError, match="this message writes nothing"):
        products.filter(pk__in=products.select_for_update()).count()


def test_a_write_in_a_later_message_that_needs_a_count(products):
    count = products.delayed().select_for_update().count()
    write = products.delayed().filter(pk=1).update(price=delayed(lambda number: number + 1)(count))
    assert write.compute() == 1


@pytest.mark.parametrize("block", [contextlib.nullcontext, lambda: transaction.atomic(using="rpc")])
def test_get_or_create_alone_is_a_read_of_the_locked_row(products, local, messages, block):
    locked = products.select_for_update()
    for call in (
        lambda: locked.get_or_create(pk=1),
        lambda: locked.filter(pk=1).delayed().get_or_create(pk=1)[0].price.compute(),
        lambda: django_rpc.compute(products.delayed().count(), locked.delayed().get_or_create(pk=1)),
    ):
        with (
            messages() as sent,
            pytest.raises(TransactionManagementError, match="this message writes nothing"),
            block(),
        ):
            call()
        assert len(sent) == 0
    row = products.delayed().select_for_update().get_or_create(pk=1)[0]
    price = local.Product.objects.get(pk=1).price
    assert products.delayed().filter(pk=row.pk).update(price=row.price + 1).compute() == 1
    assert local.Product.objects.get(pk=1).price == price + 1


def test_a_write_in_a_later_message_is_refused(products, local):
    """A local function takes the value out of the transaction, also where the first message writes something else."""
    before = local.Product.objects.get(pk=1).price
    row_price = products.delayed().select_for_update().get(pk=1).price
    write = products.delayed().filter(pk=1).update(price=delayed(lambda number: number + 1)(row_price))
    other = products.delayed().filter(pk=2).update(price=0)
    for outputs in ([write], [write, other], [other, write], [write, row_price]):
        with pytest.raises(TransactionManagementError, match="in a later message"):
            django_rpc.compute(*outputs)
    with pytest.raises(TransactionManagementError, match="in a later message"), django_rpc.atomic("rpc"):
        products.filter(pk=1).update(price=delayed(lambda number: number + 1)(row_price))
    assert local.Product.objects.get(pk=1).price == before


def test_a_read_and_a_write_in_one_message(products, local, messages):
    local.Product.objects.filter(pk=1).update(price=10)
    row = products.delayed().select_for_update().get(pk=1)
    with messages() as sent:
        assert products.delayed().filter(pk=1).update(price=row.price + 1).compute() == 1
    assert len(sent) == 1
    with django_rpc.atomic("rpc") as block:
        row = products.delayed().select_for_update().get(pk=1)
        products.filter(pk=1).update(price=row.price * 2)
        rows = block.add(products.select_for_update().filter(pk=1))
    assert [product.price for product in rows.result()] == [22]
    assert products.select_for_update().filter(pk=1).update(price=F("price") + 1) == 1
    assert local.Product.objects.get(pk=1).price == 23
    first, second = products.delayed().select_for_update().get(pk=1), products.delayed().filter(pk=1).update(price=5)
    product, changed = django_rpc.compute(first, second)
    assert (product.price, changed) == (23, 1)


def test_a_local_function_of_a_value_that_no_write_needs(products):
    row = products.delayed().select_for_update().get(pk=1)
    write = products.delayed().filter(pk=1).update(price=row.price)
    text, changed = django_rpc.compute(delayed(str)(row.price), write)
    assert "." in text
    assert changed == 1


def test_update_or_create_in_several_messages(products, local, remote):
    """A receiver of the client makes it several messages; Django's lock is left out, as documented."""
    heard = []
    receiver = lambda instance, **kwargs: heard.append(instance.pk)  # noqa: E731
    post_save.connect(receiver, sender=remote.Product, weak=False)
    try:
        _, created = products.update_or_create(pk=1, defaults={"price": 3})
    finally:
        post_save.disconnect(receiver, sender=remote.Product)
    assert (created, heard, local.Product.objects.get(pk=1).price) == (False, [1], 3)


@pytest.mark.asyncio
async def test_an_async_read_is_refused(remote):
    with pytest.raises(TransactionManagementError, match="writes nothing"):
        await remote.Product.objects.select_for_update().aget(pk=1)
