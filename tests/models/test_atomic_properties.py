"""A block of ``django_rpc.atomic()`` does what a transaction does with the same code on local models."""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import secrets
from unittest import mock

import pytest
from django.db import transaction
from django.db.models import F, Max
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import django_rpc

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])

WHEN = dt.datetime(2025, 6, 1, 12, tzinfo=dt.UTC)


class Program:
    """Steps on the models of one side; each step is a name with numbers that choose among the existing rows."""

    def __init__(self, models, block):
        self.models = models
        self.block = block
        self.customers = [models.Customer.objects.get(pk=1)]
        self.orders = [models.Order.objects.filter(customer_id=1).order_by("pk").first()]
        self.products = list(models.Product.objects.filter(pk__lte=3))
        self.lines = []
        self.tags = [models.Tag.objects.get(pk=1)]

    def run(self, steps):
        for name, one, two, *inner in steps:
            getattr(self, name)(one, two, *inner)

    def customer(self, one, two):
        values = {"name": f"C{one}", "email": f"c{one}@example.org", "city": "Oslo", "joined": WHEN.date()}
        self.customers.append(self.models.Customer(**values, referred_by=self.customers[two % len(self.customers)]))
        self.customers[-1].save()

    def order(self, one, two):
        customer = self.customers[one % len(self.customers)]
        self.orders.append(self.models.Order.objects.create(customer=customer, total=two, created=WHEN))

    def line(self, one, two):
        line = self.models.Line(product_id=1 + two % 3, quantity=two)
        line.order = self.orders[one % len(self.orders)]
        line.save()
        self.lines.append(line)

    def tag(self, one, two):
        self.tags.append(self.models.Tag.objects.create(name=f"tag-{one}"))

    def bulk(self, one, two):
        made = [self.models.Tag(name=f"bulk-{one}-{n}") for n in range(two % 3)]
        self.tags += self.models.Tag.objects.bulk_create([*made, self.models.Tag(pk=500 + one, name=f"bulk-{one}")])

    def tagged(self, one, two):
        product = self.products[two % len(self.products)]
        getattr(product.tags, ("add", "remove")[two % 2])(self.tags[one % len(self.tags)])

    def resaved(self, one, two):
        order = self.orders[one % len(self.orders)]
        order.total = two
        order.save()

    def renamed(self, one, two):
        customer = self.customers[one % len(self.customers)]
        customer.city = f"City {two}"
        customer.save(update_fields=["city"] if two % 2 else None)

    def updated(self, one, two):
        customer = self.customers[one % len(self.customers)]
        self.models.Order.objects.filter(customer=customer).update(total=F("total") + two, status="paid")

    def moved(self, one, two):
        line = self.models.Line.objects.filter(order=self.orders[one % len(self.orders)])
        line.update(order=self.orders[two % len(self.orders)])

    def deleted(self, one, two):
        kept = (self.customers, self.orders, self.lines or self.tags, self.tags)[two % 4]
        kept[one % len(kept)].delete()

    def swept(self, one, two):
        self.models.Line.objects.filter(order=self.orders[one % len(self.orders)], quantity__gte=two).delete()

    def within(self, one, two, steps):
        """An inner block. An exception leaves it, with copies of the instances, since Django does not restore their
        keys.

        What fails in such a block is never sent, so it does not count.
        """
        kept = self.customers, self.orders, self.lines, self.tags
        with contextlib.suppress(*[Exception] * (one % 2)), (self.block if two % 2 else self.django)():
            if one % 2:
                self.customers, self.orders, self.lines, self.tags = ([copy.copy(i) for i in some] for some in kept)
            self.run(steps)
            if one % 2:
                raise ValueError
        self.customers, self.orders, self.lines, self.tags = kept

    def django(self):
        return transaction.atomic(using="rpc" if self.block is not transaction.atomic else "default")


NAMES = [
    *"customer order line tag bulk tagged resaved renamed updated moved deleted swept".split(),
    *"customer order line resaved".split(),  # more often
]
SMALL = st.integers(0, 5)
STEP = st.tuples(st.sampled_from(NAMES), SMALL, SMALL)
STEPS = st.lists(st.one_of(STEP, st.tuples(st.just("within"), SMALL, SMALL, st.lists(STEP, max_size=3))), max_size=10)


def rows(local):
    """All that the steps can change; keys count, since rows are made in the same order."""
    tables = [local.Customer, local.Order, local.Line, local.Tag, local.Product.tags.through]
    hidden = {"secret_note"}  # a mirror that is deleted and saved again has no values for these
    found = {
        model.__name__: list(
            model.objects.order_by("pk").values(*({f.attname for f in model._meta.concrete_fields} - hidden))
        )
        for model in tables
    }
    found["audit"] = list(local.AuditEntry.objects.order_by("pk").values("model", "object_pk", "action"))
    return found


def outcome(program, block, steps, local):
    """Return if the block failed, the rows of the tables, and the values of the instances; undo all changes."""
    chance = secrets.token_hex

    def number(size):  # the number of an order, by the rows of the table
        return chance(size) if size > 4 else str(local.Order.objects.aggregate(last=Max("pk"))["last"])

    with transaction.atomic(), mock.patch("secrets.token_hex", number):
        try:
            with block():
                program.run(steps)
        except Exception:  # noqa: BLE001 - of several errors, a transaction has the first, and a block the client's own
            result = "failed"
        else:
            result = [
                (type(one).__name__, one.pk, one._state.adding, getattr(one, "number", ""), getattr(one, "order_id", 0))
                for one in (*program.customers, *program.orders, *program.lines, *program.tags)
            ]
        found = rows(local)
        transaction.set_rollback(True)
    return result, found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_a_block_is_a_transaction(steps, local, remote, shop_data, messages):
    here = outcome(Program(local, transaction.atomic), transaction.atomic, steps, local)
    program = Program(remote, lambda: django_rpc.atomic("rpc"))
    with messages() as sent:
        there = outcome(program, lambda: django_rpc.atomic("rpc"), steps, local)
    assert there == here
    assert len(sent) <= 1
