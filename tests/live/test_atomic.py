"""Blocks of ``django_rpc.atomic()`` on PostgreSQL, through a broker and a real worker."""

# ruff: noqa: PT012 - the exceptions leave whole blocks

from __future__ import annotations

import asyncio
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connections, transaction
from django.db.models import F

import django_rpc
from django_rpc.backend.transactions import CannotRollBack

pytestmark = pytest.mark.parametrize("live_service", ["rabbitmq-postgresql"], indirect=True)


@pytest.fixture
def name(live_rpc, remote):
    """A name for this test; its rows are removed."""
    name = f"unit-{uuid.uuid4().hex[:8]}"
    yield name
    remote.Customer.objects.filter(name__startswith=name).delete()
    remote.Tag.objects.filter(name__startswith=name).delete()


def customer(remote, name):
    return remote.Customer(name=name, email=f"{name}@example.org", city="Oslo", joined="2025-01-01")


def test_a_block_is_one_message_and_one_transaction(live_rpc, remote, name, messages):
    products = list(remote.Product.objects.order_by("pk")[:3])
    entries = remote.AuditEntry.objects.count()
    with messages() as sent:
        with django_rpc.atomic("rpc") as block:
            ada = customer(remote, name)
            ada.save()
            order = remote.Order.objects.create(customer=ada)
            lines = [
                remote.Line.objects.create(order=order, product=product, quantity=number)
                for number, product in enumerate(products, 1)
            ]
            order.total = 6
            order.save()
            updated = remote.Line.objects.filter(order=order, quantity=3).update(quantity=4)
            lines[0].delete()
            count = block.add(order.lines.delayed().count())
        assert len(sent) == 1
    assert (updated, count) == (1, 2)
    found = remote.Order.objects.select_related("customer").get(pk=order.pk)
    assert (found.customer, found.number, found.total) == (ada, order.number, 6)
    assert sorted(order.lines.values_list("quantity", flat=True)) == [2, 4]
    assert remote.AuditEntry.objects.count() > entries


@pytest.mark.parametrize("at_the_end", [False, True])
def test_an_error_rolls_all_back(live_rpc, remote, name, at_the_end):
    """Also an error that PostgreSQL reports at the end of the transaction: then no operation is named."""
    ada = customer(remote, name)
    entries = remote.AuditEntry.objects.count()
    with pytest.raises(IntegrityError) as caught, django_rpc.atomic("rpc"):
        ada.save()
        remote.Order.objects.create(customer=ada)
        if at_the_end:
            remote.Line.objects.create(order_id=0, product_id=0)  # neither is there
        else:
            customer(remote, name).save()
        remote.Tag.objects.create(name=name)
    assert ("failed at the service: Customer.save(" in caught.value.__notes__[0]) is not at_the_end
    assert ada.pk is None
    assert not remote.Customer.objects.filter(name=name).exists()
    assert remote.AuditEntry.objects.count() == entries


def test_done_once_under_a_key(live_rpc, remote, name):
    def work():
        with django_rpc.once(name), django_rpc.atomic("rpc"):
            ada = customer(remote, name)
            ada.save()
            tag = remote.Tag.objects.create(name=name)
            remote.Customer.objects.filter(pk=ada.pk).update(credit=5)
        return ada.pk, tag.pk

    assert work() == work()
    assert remote.Customer.objects.filter(name=name, credit=5).count() == 1
    assert django_rpc.outcome(name).state == "done"


def test_tasks_of_a_loop(live_rpc, remote, name, messages):
    async def task(number):
        async with django_rpc.atomic("rpc"):
            first = await remote.Tag.objects.acreate(name=f"{name}-{number}")
            await remote.Tag.objects.acreate(name=f"{name}-{number}-b")
            if number == 3:
                raise LookupError
        return first.pk

    async def main():
        return await asyncio.gather(*map(task, range(6)), return_exceptions=True)

    found = asyncio.run(main())
    assert isinstance(found[3], LookupError)
    assert remote.Tag.objects.filter(pk__in=[pk for pk in found if isinstance(pk, int)]).count() == 5
    assert remote.Tag.objects.filter(name__startswith=name).count() == 10


def test_django_atomic_reports_remaining_writes(live_rpc, remote, name):
    with pytest.raises(CannotRollBack, match=name) as caught, transaction.atomic(using="rpc"):
        remote.Tag.objects.create(name=name)
        raise LookupError
    assert len(caught.value.done) == 1
    assert remote.Tag.objects.filter(name=name).exists()


def test_increments_of_many_clients(live_rpc, remote, name):
    """None of 40 increments is lost: neither by a locked read and a write in one message, nor by an expression."""
    ada = customer(remote, name)
    ada.credit = 0
    ada.save()
    customers = remote.Customer.objects

    def by_graph():
        row = customers.delayed().select_for_update().get(pk=ada.pk)
        return customers.delayed().filter(pk=ada.pk).update(credit=row.credit + 1).compute()

    def by_block():
        with django_rpc.atomic("rpc"):
            row = customers.delayed().select_for_update().get(pk=ada.pk)
            changed = customers.filter(pk=ada.pk).update(credit=row.credit + 1)
        return changed.result()

    def by_expression():
        return customers.filter(pk=ada.pk).update(credit=F("credit") + 1)

    start = threading.Barrier(8)

    def client(number):
        start.wait(timeout=30)
        try:
            return [way() for way in (by_graph, by_block, by_graph, by_block, by_expression)]
        finally:
            connections["rpc"].close()

    with ThreadPoolExecutor(8) as clients:
        changed = list(clients.map(client, range(8)))
    assert changed == [[1] * 5] * 8
    assert customers.get(pk=ada.pk).credit == 40
