"""Django's own ORM on the example server's database, in this process."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import django

django.setup()

from django.db import models  # noqa: E402

from benchmarks.serve import serve  # noqa: E402
from django_rpc.demo.server.shop.models import Customer  # noqa: E402

STEPS = 10


class Client(models.Model):
    """The eight columns that the mirror of ``lanes.ours`` has."""

    name = models.CharField(max_length=100)
    email = models.EmailField(unique=True)
    tier = models.CharField(max_length=10)
    city = models.CharField(max_length=60)
    joined = models.DateField()
    credit = models.DecimalField(max_digits=10, decimal_places=2)
    active = models.BooleanField()

    class Meta:
        app_label = "benchmarks"
        managed = False
        db_table = "shop_customer"


def get() -> Callable[[], Any]:
    keys = itertools.cycle(range(1, 401))
    return lambda: Customer.objects.get(pk=next(keys))


def steps() -> Callable[[], Any]:
    """The ten steps of ``lanes.ours.calls``."""

    def run() -> Any:
        customer = Customer.objects.get(pk=1)
        for _ in range(STEPS - 1):
            customer = Customer.objects.get(pk=customer.pk + 1)
        return customer.pk

    return run


def rows(count: int) -> Callable[[], Any]:
    return lambda: list(Client.objects.order_by("id")[:count])


if __name__ == "__main__":
    serve({"get": get, "steps": steps, "rows": rows})
