"""The async methods of mirrors: the answers and messages of the blocking methods, in the thread of the loop."""

import asyncio
import contextlib
import threading

import pytest
from asgiref.sync import async_to_sync
from django.db import connections
from django.db.models import Count, F, Max, Prefetch

import django_rpc
from django_rpc.client.hooks import MessageListener

pytestmark = [pytest.mark.django_db(databases=["default", "rpc"]), pytest.mark.usefixtures("shop_data")]


def run(coroutine):
    async def main():
        return await coroutine

    return async_to_sync(main)()


@pytest.fixture
def messages():
    """``with messages() as sent``: the messages of this process, from all threads."""

    @contextlib.contextmanager
    def capture():
        sent = []
        hooks = connections["rpc"].session.hooks
        listener = MessageListener(sent.append)
        hooks.append(listener)
        try:
            yield sent
        finally:
            hooks.remove(listener)

    return capture


async def listed(rows):
    return [row async for row in rows]


READS = {
    "get": lambda q: (q.get, q.aget, (), {"pk": 1}),
    "first": lambda q: (q.order_by("-pk").first, q.order_by("-pk").afirst, (), {}),
    "last": lambda q: (q.last, q.alast, (), {}),
    "earliest": lambda q: (q.earliest, q.aearliest, ("pk",), {}),
    "latest": lambda q: (q.latest, q.alatest, ("pk",), {}),
    "in_bulk": lambda q: (q.in_bulk, q.ain_bulk, ([1, 2],), {}),
    "count": lambda q: (q.count, q.acount, (), {}),
    "exists": lambda q: (q.filter(pk=0).exists, q.filter(pk=0).aexists, (), {}),
    "aggregate": lambda q: (q.aggregate, q.aaggregate, (), {"highest": Max("pk")}),
    "random": lambda q: (q.filter(pk=3).order_by("?").first, q.filter(pk=3).order_by("?").afirst, (), {}),
}


@pytest.mark.parametrize("name", READS)
def test_reads(remote, messages, name):
    blocking, asynchronous, args, kwargs = READS[name](remote.Customer.objects.all())
    with messages() as sent:
        expected = blocking(*args, **kwargs)
    with messages() as sent_by_async:
        assert run(asynchronous(*args, **kwargs)) == expected
    assert len(sent_by_async) == len(sent)


def test_async_for(remote, messages):
    orders = remote.Order.objects.filter(pk__lte=5).order_by("pk")
    with messages() as sent:
        rows = run(listed(orders))
    assert rows == list(remote.Order.objects.filter(pk__lte=5).order_by("pk"))
    assert len(sent) == 1
    assert orders._result_cache is not None
    assert run(listed(orders.all().aiterator())) == rows
    assert run(listed(orders.values_list("pk", flat=True))) == [row.pk for row in rows]
    annotated = remote.Customer.objects.annotate(n=Count("orders")).filter(n__gt=F("pk")).order_by("pk")
    assert run(listed(annotated)) == list(annotated.all())


def test_prefetched_rows_are_in_the_same_message(remote, messages):
    customers = remote.Customer.objects.filter(pk__lte=5).prefetch_related("orders")
    with messages() as sent:
        rows = run(listed(customers))
        found = [[order.pk for order in row.orders.all()] for row in rows]
    assert len(sent) == 1
    assert found == [[order.pk for order in row.orders.all()] for row in remote.Customer.objects.filter(pk__lte=5)]


def test_errors(remote):
    with pytest.raises(remote.Customer.DoesNotExist):
        run(remote.Customer.objects.aget(pk=0))
    with pytest.raises(remote.Customer.MultipleObjectsReturned):
        run(remote.Customer.objects.aget())
    with pytest.raises(TypeError):
        run(remote.Customer.objects.acount(1))


def test_writes_run_once(remote, local):
    customers = remote.Customer.objects.filter(pk=1)
    assert run(customers.aupdate(city="Ulm")) == 1
    assert local.Customer.objects.get(pk=1).city == "Ulm"
    assert run(customers.agetset(city="Kiel")) == [{"id": 1, "city": "Ulm"}]
    before = local.Tag.objects.count()
    tag, made = run(remote.Tag.objects.aget_or_create(name="async"))
    again, made_again = run(remote.Tag.objects.aget_or_create(name="async"))
    assert (made, made_again, tag) == (True, False, again)
    assert local.Tag.objects.count() == before + 1
    assert run(remote.Tag.objects.filter(name="async").adelete())[0] == 1
    assert run(remote.Tag.objects.acreate(name="async")).pk
    assert local.Tag.objects.count() == before + 1


def test_iterators_as_arguments_are_read_once(remote):
    assert run(remote.Customer.objects.ain_bulk(number for number in (1, 2))).keys() == {1, 2}


def test_the_code_of_a_method_runs_in_the_loops_thread(remote):
    class Custom(type(remote.Customer.objects.all())):
        def count(self):
            threads.add(threading.current_thread())
            return super().count()

    threads = set()
    queryset = Custom(remote.Customer)

    async def main():
        return threading.current_thread(), await queryset.acount()

    thread, count = run(main())
    assert threads == {thread}
    assert count == remote.Customer.objects.count()


def test_querysets_are_gathered(remote, messages):
    customers = remote.Customer.objects.filter(pk__lte=3)

    calls = (customers, customers.delayed().count(), [remote.Order.objects.all()[:1]])
    with messages() as sent:
        rows, count, [orders] = run(django_rpc.agather(*calls))
    assert (list(rows), count, len(orders), len(sent)) == (list(customers), 3, 1, 1)


def test_many_calls_in_event_loop(remote):
    async def main():
        counts = [remote.Customer.objects.filter(pk__lte=number).acount() for number in range(20)]
        return await asyncio.gather(*counts)

    assert run(main()) == [remote.Customer.objects.filter(pk__lte=number).count() for number in range(20)]


def test_rows_of_a_sliced_prefetch_are_awaited(remote, messages):
    """Such rows are fetched after the answer, with another message."""
    orders = Prefetch("orders", remote.Order.objects.order_by("pk")[:1], to_attr="first_orders")
    customers = remote.Customer.objects.order_by("pk").prefetch_related(orders)
    expected = [[order.pk for order in customer.first_orders] for customer in customers]
    with messages() as sent:
        fetched = run(customers.all().submit())
        assert [[order.pk for order in customer.first_orders] for customer in fetched] == expected
    assert len(sent) == 2
