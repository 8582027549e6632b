"""Queries that Django refuses at their evaluation are refused for mirrors, however they are evaluated."""

from __future__ import annotations

import pytest
from django.core.exceptions import FieldError
from django.db import DatabaseError
from django.db.models import Count, F, Prefetch, Value
from django.db.models.functions import Lower

from django_rpc import compute

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])

WAYS = {
    "lazy": lambda query: list(query),
    "delayed": lambda query: list(query.delayed().compute()),
    "compute": lambda query: list(compute(query)[0]),
}
SEEN = {
    "two querysets": lambda m: [
        Prefetch("orders", m.Order.objects.filter(status="paid")),
        Prefetch("orders", m.Order.objects.all()),
    ],
    "a name, then a queryset": lambda m: ["orders", Prefetch("orders", m.Order.objects.all())],
    "a longer path, then a queryset": lambda m: ["orders__lines", Prefetch("orders", m.Order.objects.all())],
    "two querysets at the end of a path": lambda m: [
        Prefetch("orders__lines", m.Line.objects.all()),
        Prefetch("orders__lines", m.Line.objects.filter(quantity=1)),
    ],
    "one name twice": lambda m: [Prefetch("orders", m.Order.objects.all(), "found")] * 2,
}
ALLOWED = {
    "a queryset, then a longer path": lambda m: [Prefetch("orders", m.Order.objects.all()), "orders__lines"],
    "two names": lambda m: [
        Prefetch("orders", m.Order.objects.filter(status="paid"), "paid"),
        Prefetch("orders", m.Order.objects.all()),
    ],
    "a queryset that prefetches it": lambda m: [
        Prefetch("orders", m.Order.objects.prefetch_related("lines")),
        Prefetch("orders__lines", m.Line.objects.all()),
    ],
    "the same twice": lambda m: ["orders", "orders"],
}


def _outcome(run):
    try:
        return run()
    except ValueError as error:
        return str(error).splitlines()[0]


def _numbers(customers):
    return [(customer.pk, [order.pk for order in customer.orders.all()]) for customer in customers]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [*SEEN, *ALLOWED])
def test_two_prefetches_of_one_relation(local, remote, shop_data, name, way):
    lookups = {**SEEN, **ALLOWED}[name]
    query = local.Customer.objects.order_by("pk").prefetch_related(*lookups(local))
    expected = _outcome(lambda: _numbers(query))
    assert ("was already seen with a different queryset" in expected) == (name in SEEN)
    query = remote.Customer.objects.order_by("pk").prefetch_related(*lookups(remote))
    assert _outcome(lambda: _numbers(WAYS[way](query))) == expected
    none = remote.Customer.objects.filter(pk=-1).prefetch_related(*lookups(remote))
    assert WAYS[way](none) == []


def _arms(models, **annotations):
    customers = models.Customer.objects.order_by().annotate(**annotations)
    return customers.filter(pk__lt=9), customers.filter(pk__gt=5)


UNSELECTED = {
    "instances": lambda m: _joined(_arms(m)).order_by("orders__total"),
    "instances by a related column": lambda m: _joined(_arms(m)).order_by("referred_by__name", "pk"),
    "annotated": lambda m: _joined(_arms(m, n=Value(1))).order_by("n", "orders__total"),
    "values": lambda m: _joined([arm.values("city") for arm in _arms(m)]).order_by("name"),
    "values by an expression": lambda m: _joined([arm.values("city") for arm in _arms(m)]).order_by(Lower("name")),
    "values_list": lambda m: _joined([arm.values_list("city", flat=True) for arm in _arms(m)]).order_by("pk"),
    "grouped": lambda m: _joined([arm.values("city").annotate(n=Count("pk")) for arm in _arms(m)]).order_by("tier"),
    "sliced": lambda m: _joined([arm.values("city") for arm in _arms(m)]).order_by(F("name").desc())[:3],
    "some columns of instances": lambda m: _joined([arm.only("city") for arm in _arms(m)]).order_by("name"),
}


def _joined(arms):
    first, second = arms
    return first.union(second)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", UNSELECTED)
def test_union_ordered_by_unselected_column_is_refused(remote, shop_data, name, way):
    with pytest.raises(DatabaseError, match="ORDER BY term does not match any column in the result set"):
        WAYS[way](UNSELECTED[name](remote))


SELECTED = {
    "instances": lambda m: _joined(_arms(m)).order_by("name", "-pk"),
    "annotated": lambda m: _joined(_arms(m, n=Value(1))).order_by("n", "pk"),
    "values": lambda m: _joined([arm.values("city") for arm in _arms(m)]).order_by("-city"),
    "values of all": lambda m: _joined(_arms(m)).order_by("name", "pk").values("name", "pk"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SELECTED)
def test_a_union_in_the_order_of_a_selected_column(local, remote, shop_data, name, way):
    def shown(row):
        return getattr(row, "pk", row) if not isinstance(row, dict) else row

    found = [shown(row) for row in WAYS[way](SELECTED[name](remote))]
    assert found == [shown(row) for row in SELECTED[name](local)]


@pytest.mark.parametrize("name", ["a b", "_wrong", "é", ""])
def test_a_name_that_no_message_may_contain_is_no_field(local, remote, shop_data, name):
    with pytest.raises(FieldError):
        local.Order.objects.update(total=F(name))
    with pytest.raises(FieldError, match="not a valid lookup path"):
        remote.Order.objects.delayed().update(total=F(name)).compute()
    with pytest.raises(FieldError, match="not a valid lookup path"):
        remote.Order.objects.delayed().filter(total=F(name)).count().compute()
    order = remote.Order.objects.first()
    order.total = F(name)
    with pytest.raises(FieldError, match="not a valid lookup path"):
        order.save()
