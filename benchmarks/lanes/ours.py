"""django_rpc's client, with the settings and the mirrors of the example client."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import django

django.setup()

from django.db import connections, models  # noqa: E402

from benchmarks.serve import serve  # noqa: E402
from django_rpc import compute  # noqa: E402
from django_rpc.demo.client.shop.models import Customer, Order  # noqa: E402
from django_rpc.graph.delayed.runner import Output  # noqa: E402
from django_rpc.graph.nodes import ServiceInfo  # noqa: E402
from django_rpc.models import RpcModel  # noqa: E402

STEPS = 10
#: The keys of a hundred customers.
MANY = range(1, 101)
#: The keys of two hundred.
IN_FLIGHT = range(1, 201)


class Client(RpcModel):
    """A customer with eight fields, its key among them."""

    class Rpc:
        app_label = "shop"
        name = "Customer"

    name = models.CharField(max_length=100)
    email = models.EmailField(unique=True)
    tier = models.CharField(max_length=10)
    city = models.CharField(max_length=60)
    joined = models.DateField()
    credit = models.DecimalField(max_digits=10, decimal_places=2)
    active = models.BooleanField()


def get() -> Callable[[], Any]:
    """One whole row by its key, always another one."""
    keys = itertools.cycle(range(1, 401))
    return lambda: Customer.objects.get(pk=next(keys))


def ping() -> Callable[[], Any]:
    """A call that reads nothing."""
    session = connections["rpc"].session
    return lambda: session.compute([Output(ServiceInfo(session.service))])


def calls() -> Callable[[], Any]:
    """Ten steps, each of which needs the one before it, as ten calls."""

    def run() -> Any:
        customer = Customer.objects.get(pk=1)
        for _ in range(STEPS - 1):
            customer = Customer.objects.get(pk=customer.id + 1)
        return customer.id

    return run


def graph() -> Callable[[], Any]:
    """The same ten steps in one graph."""

    def run() -> Any:
        customer = Customer.objects.delayed().get(pk=1)
        for _ in range(STEPS - 1):
            customer = Customer.objects.delayed().get(pk=customer.id + 1)
        return customer.compute().id

    return run


def gets() -> Callable[[], Any]:
    """A hundred rows by their keys, as a loop of calls."""
    return lambda: [Customer.objects.get(pk=key).pk for key in MANY]


def gets_together() -> Callable[[], Any]:
    """The same loop, computed at its end."""
    return lambda: [row.pk for row in compute(*[Customer.objects.delayed().get(pk=key) for key in MANY])]


def counts() -> Callable[[], Any]:
    """How many orders each of a hundred customers has, as a loop of calls."""
    return lambda: [Order.objects.filter(customer=key).count() for key in MANY]


def counts_mapped() -> Callable[[], Any]:
    """The same, as a map next to the data."""
    some = Customer.objects.filter(pk__lte=len(MANY)).order_by("pk")
    return lambda: some.map(lambda c: Order.objects.filter(customer=c).count()).compute()


async def _one(key: int) -> int:
    return (await Customer.objects.aget(pk=key)).pk


def awaits_at_once() -> Callable[[], Any]:
    """Two hundred rows by their keys, all in flight at the same time."""

    async def run() -> list[int]:
        return await asyncio.gather(*map(_one, IN_FLIGHT))

    return lambda: asyncio.run(run())


def awaits_in_a_row() -> Callable[[], Any]:
    """The same rows, one after the other."""

    async def run() -> list[int]:
        return [await _one(key) for key in IN_FLIGHT]

    return lambda: asyncio.run(run())


def rows(count: int) -> Callable[[], Any]:
    return lambda: list(Client.objects.order_by("id")[:count])


if __name__ == "__main__":
    serve(
        {
            "get": get,
            "ping": ping,
            "calls": calls,
            "graph": graph,
            "rows": rows,
            "gets": gets,
            "gets_together": gets_together,
            "counts": counts,
            "counts_mapped": counts_mapped,
            "awaits_at_once": awaits_at_once,
            "awaits_in_a_row": awaits_in_a_row,
        }
    )
