"""Values of aggregates and folds in map(): as a comprehension over the local models, in value and type."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest
from django.db.models import Avg, Count, DecimalField, F, FloatField, Max, Min, Q, StdDev, Sum, Value, Variance
from django.db.models.functions import Coalesce

import django_rpc

pytestmark = pytest.mark.django_db

AGGREGATES = {
    "sum with a default": Sum("total", default=0),
    "sum with a decimal default": Sum("total", default=Decimal("1.50")),
    "sum": Sum("total"),
    "average with a default": Avg("total", default=0),
    "average of integers with a default": Avg("pk", default=0),
    "float average": Avg("pk", default=0, output_field=FloatField()),
    "deviation with a default": StdDev("total", default=0),
    "variance with a default": Variance("total", default=Value(0)),
    "least with a default": Min("created", default=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)),
    "greatest text with a default": Max("number", default=""),
    "count": Count("pk"),
    "coalesced": Coalesce(Sum("total"), 0, output_field=DecimalField()),
    "nested default": Coalesce(Sum("total", default=0), Value(5), output_field=DecimalField()),
    "sum and more": Sum("total") + Value(1, output_field=DecimalField()),
    "default of a product": Sum(F("total") * 2, default=0),
    "filtered": Sum("total", filter=Q(pk__lt=0), default=0),
    "filtered count": Count("pk", filter=Q(pk__lt=0)),
}


def typed(values):
    return [{name: (type(value), value) for name, value in row.items()} for row in values]


@pytest.mark.parametrize("expression", AGGREGATES.values(), ids=AGGREGATES)
def test_aggregates_of_no_rows(shop_data, local, remote, expression):
    local.Order.objects.filter(customer__in=local.Customer.objects.order_by("pk")[:5]).delete()
    customers = list(local.Customer.objects.order_by("pk"))
    expected = typed(customer.orders.aggregate(v=expression) for customer in customers)
    rows = remote.Customer.objects.order_by("pk")
    assert typed(rows.map(lambda c: c.orders.aggregate(v=expression)).compute()) == expected
    assert (
        typed(rows.map(lambda c: remote.Order.objects.filter(customer=c).aggregate(v=expression)).compute()) == expected
    )
    single = [remote.Order.objects.filter(customer=c.pk).delayed().aggregate(v=expression) for c in customers]
    assert typed(django_rpc.compute(*single)) == expected
    nested = rows.map(lambda c: remote.Order.objects.filter(customer__pk__lte=c.pk, customer=c).aggregate(v=expression))
    assert typed(nested.compute()) == expected


def test_default_of_empty_aggregate_is_second_statement(shop_data, local, remote, django_assert_num_queries):
    local.Order.objects.filter(customer=local.Customer.objects.order_by("pk")[0]).delete()
    made = remote.Customer.objects.order_by("pk").map(lambda c: c.orders.aggregate(v=Sum("total", default=0)))
    with django_assert_num_queries(3):  # customers, orders by customer, and the default
        assert made.compute()[0] == {"v": Decimal(0)}


LISTS = {
    "empty": [],
    "none": [None],
    "two of none": [None, None],
    "number and none": [1, None],
    "none and number": [None, 1],
    "one bool": [True],
    "bools": [True, False, True],
    "bool and float": [True, 1.5],
    "floats": [0.1] * 10,
    "minus zero": [-0.0],
    "decimals": [Decimal("1.10"), Decimal("2.20")],
    "decimal and int": [Decimal("1.10"), 2],
    "decimal and float": [Decimal("1.10"), 2.5],
    "texts": ["b", "a"],
    "one text": ["a"],
    "text and number": ["a", 1],
    "dates": [datetime.date(2024, 1, 2), datetime.date(2024, 1, 1)],
    "one date": [datetime.date(2024, 1, 2)],
    "lists": [[2], [1]],
    "one list": [[1]],
    "tuples": [(2, "a"), (1, "b")],
    "dicts": [{"a": 1}],
    "large": [2**63, 2**64],
    "bytes": [b"a"],
    "falsy": [0, "", None, [], 0.0],
}
FOLDS = {
    "sum": sum,
    "any": any,
    "all": all,
    "len": len,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
}


def outcome(work):
    try:
        value = work()
        return type(value), repr(value)
    except TypeError:
        return TypeError


@pytest.mark.parametrize("values", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("fold", FOLDS)
def test_folds_are_those_of_python(shop_data, remote, fold, values):
    expected = outcome(lambda: FOLDS[fold](values))
    here = django_rpc.delayed(values).map(lambda item: item)
    assert outcome(lambda: getattr(here, fold)().compute()) == expected
    there = remote.Customer.objects.order_by("pk")[:1].map(
        lambda c: getattr(django_rpc.delayed([c.pk, values])[1].map(lambda item: item), fold)()
    )
    assert outcome(lambda: there.compute()[0]) == expected


def test_sum_of_durations(remote, shop_data):
    values = [datetime.timedelta(1), datetime.timedelta(2)]
    assert django_rpc.delayed(values).map(lambda item: item).sum().compute() == datetime.timedelta(3)
    assert django_rpc.delayed(values[:1]).map(lambda item: item).sum().compute() == datetime.timedelta(1)
    made = remote.Customer.objects.all()[:1].map(lambda c: django_rpc.delayed([values, c.pk])[0].map(lambda i: i).sum())
    assert made.compute() == [datetime.timedelta(3)]
    with pytest.raises(TypeError):
        django_rpc.delayed([*values, 1]).map(lambda item: item).sum().compute()
