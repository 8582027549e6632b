"""``explain()`` prints the physical reads of a lambda; its loops are compared with the counted statements."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.models import Count, Q, Sum
from django.test.utils import CaptureQueriesContext

from django_rpc import cond, function

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])

#: Operations of a lambda on a customer.
BODIES = {
    "count": lambda m, c: m.Order.objects.filter(customer=c).count(),
    "rel count": lambda m, c: c.orders.count(),
    "rel rows": lambda m, c: c.orders.order_by("pk"),
    "rel rows 2": lambda m, c: c.orders.order_by("pk")[:2],
    "rel first": lambda m, c: c.orders.first(),
    "fk": lambda m, c: c.referred_by,
    "fk attr": lambda m, c: cond(c.referred_by_id != None, c.referred_by.name, None),  # noqa: E711
    "fk fk": lambda m, c: cond(c.referred_by_id != None, c.referred_by.referred_by, None),  # noqa: E711
    "one2one": lambda m, c: m.Profile.objects.filter(customer=c).first(),
    "agg": lambda m, c: m.Order.objects.filter(customer=c).aggregate(s=Sum("total"))["s"],
    "exists": lambda m, c: m.Order.objects.filter(customer=c, status="paid").exists(),
    "two": lambda m, c: (c.orders.count(), c.orders.filter(status="paid").count()),
    "chain": lambda m, c: c.orders.filter(total__gt=5).exclude(status="new").order_by("-total").first(),
    "gt elem": lambda m, c: m.Order.objects.filter(total__gt=c.credit).count(),
    "gt first": lambda m, c: m.Order.objects.filter(total__gt=c.credit).order_by("pk").first(),
    "nested map": lambda m, c: c.orders.map(lambda o: o.lines.count()),
    "nested map2": lambda m, c: c.orders.map(lambda o: o.lines.map(lambda line: line.product.title)),
    "nested fold": lambda m, c: c.orders.map(lambda o: o.lines.count()).sum(),
    "filter_by in": lambda m, c: c.orders.filter_by(lambda o: o.lines.count() > 2).len(),
    "m2m": lambda m, c: c.orders.map(lambda o: o.products.count()),
    "values": lambda m, c: m.Order.objects.filter(customer=c).values("number", "total"),
    "flat": lambda m, c: m.Order.objects.filter(customer=c).values_list("number", flat=True),
    "distinct": lambda m, c: m.Order.objects.filter(customer=c).values_list("status", flat=True).distinct(),
    "group": lambda m, c: (
        m.Order.objects.filter(customer=c).values("status").annotate(n=Count("pk")).order_by("status")
    ),
    "annotate": lambda m, c: m.Order.objects.filter(customer=c).annotate(n=Count("lines")).filter(n__gt=1).count(),
    "in nested": lambda m, c: m.Line.objects.filter(order__in=m.Order.objects.filter(customer=c)).count(),
    "get": lambda m, c: m.Customer.objects.get(pk=c.pk).name,
    "get slug": lambda m, c: m.Customer.objects.get(email=c.email).name,
    "item": lambda m, c: cond(c.orders.count() > 1, c.orders.order_by("pk")[1].number, None),
    "Q or": lambda m, c: m.Order.objects.filter(Q(customer=c) | Q(status="new")).count(),
    "exclude": lambda m, c: m.Order.objects.exclude(customer=c).count(),
    "icontains": lambda m, c: m.Customer.objects.filter(name__icontains=c.city).count(),
    "two keys": lambda m, c: m.Customer.objects.filter(city=c.city, tier=c.tier).count(),
    "latest": lambda m, c: cond(c.orders.exists(), c.orders.latest("created").number, None),
    "in_bulk": lambda m, c: m.Order.objects.filter(customer=c).in_bulk(),
    "contains": lambda m, c: c.orders.contains(m.Order.objects.first()),
    "dates": lambda m, c: c.orders.dates("created", "year"),
    "select_related": lambda m, c: c.orders.select_related("customer").order_by("pk"),
    "prefetch": lambda m, c: c.orders.prefetch_related("lines").order_by("pk"),
    "last of slice": lambda m, c: m.Order.objects.filter(customer=c).order_by("pk")[:3].count(),
    "grouped first": lambda m, c: (
        m.Order.objects.filter(customer=c).annotate(n=Count("lines")).order_by("-n", "pk").first()
    ),
    "grouped rows": lambda m, c: m.Order.objects.filter(customer=c).annotate(n=Count("lines")).order_by("pk"),
    "grouped slice": lambda m, c: m.Order.objects.filter(customer=c).annotate(n=Count("lines")).order_by("pk")[:2],
    "grouped exists": lambda m, c: (
        m.Order.objects.filter(customer=c).annotate(n=Count("lines")).filter(n__gt=2).exists()
    ),
    "grouped agg": lambda m, c: m.Order.objects.filter(customer=c).annotate(n=Count("lines")).aggregate(x=Sum("n")),
    "grouped item": lambda m, c: cond(
        c.orders.exists(), m.Order.objects.filter(customer=c).annotate(n=Count("lines")).order_by("pk")[0], None
    ),
    "grouped get": lambda m, c: m.Customer.objects.annotate(n=Count("orders")).get(pk=c.pk).n,
    "grouped values": lambda m, c: m.Order.objects.filter(customer=c).annotate(n=Count("lines")).values("pk", "n"),
    "dist count": lambda m, c: m.Order.objects.filter(customer=c).values("status").distinct().count(),
    "dist first": lambda m, c: m.Order.objects.filter(customer=c).distinct().order_by("pk").first(),
    "slice values": lambda m, c: m.Order.objects.filter(customer=c).order_by("pk").values_list("number", flat=True)[:2],
    "rows of related": lambda m, c: m.Line.objects.filter(order__customer=c).count(),
    "rows of related2": lambda m, c: m.Line.objects.filter(order__customer=c, order__status="paid").order_by("pk"),
    "m2m filter": lambda m, c: m.Tag.objects.filter(products__lines__order__customer=c).distinct().count(),
    "computed by elem": lambda m, c: m.Order.objects.filter(total__gt=c.credit * 2).count(),
    "two params": lambda m, c: c.orders.map(lambda o: m.Order.objects.filter(total__gt=o.total, customer=c).count()),
    "or elems": lambda m, c: m.Customer.objects.filter(Q(city=c.city) | Q(tier=c.tier)).count(),
    "ne": lambda m, c: m.Order.objects.exclude(total__lt=c.credit).order_by("pk").first(),
    "earliest gt": lambda m, c: m.Order.objects.filter(total__gt=c.credit).earliest("pk").number,
    "rows gt": lambda m, c: m.Order.objects.filter(total__gt=c.credit).order_by("pk"),
    "values gt": lambda m, c: m.Order.objects.filter(total__gt=c.credit).values_list("pk", flat=True),
    "reverse": lambda m, c: c.orders.order_by("pk").reverse()[:1],
    "function": lambda m, c: function("basket_total", reads_only=True)(m.Product.objects.filter(pk=c.pk)),
}


def statements(value):
    with CaptureQueriesContext(connection) as captured:
        value.compute()
    return len([query for query in captured if "SAVEPOINT" not in query["sql"]])


@pytest.mark.parametrize("name", BODIES)
def test_constant_statements_or_reason_in_plan(shop_data, remote, name):
    few, many = (
        remote.Customer.objects.order_by("pk")[:number].map(lambda c: BODIES[name](remote, c)) for number in (10, 40)
    )
    is_same = statements(few) == statements(many)
    assert (": loop, " in many.explain()) is not is_same


def test_a_read_of_two_elements_at_once(shop_data, remote, local):
    """Each inner query depends on its outer element, and not on the first element."""
    customers = remote.Customer.objects.order_by("pk")
    found = customers.map(
        lambda c: c.orders.order_by("pk").map(
            lambda o: remote.Order.objects.filter(total__gt=o.total, customer=c).count()
        )
    )
    assert found.compute() == [
        [local.Order.objects.filter(total__gt=o.total, customer=c).count() for o in c.orders.order_by("pk")]
        for c in local.Customer.objects.order_by("pk")
    ]
