"""django_rpc's client, with the settings and the mirrors of the example client."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import django

django.setup()

from django.db import models  # noqa: E402

from benchmarks.serve import serve  # noqa: E402
from django_rpc.demo.client.shop.models import Customer  # noqa: E402
from django_rpc.models import RpcModel  # noqa: E402

STEPS = 10


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


def rows(count: int) -> Callable[[], Any]:
    return lambda: list(Client.objects.order_by("id")[:count])


if __name__ == "__main__":
    serve({"get": get, "calls": calls, "graph": graph, "rows": rows})
