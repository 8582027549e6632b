"""Methods of QuerySet and Manager on a Delayed: each is there, or its absence has a reason in the error."""

from __future__ import annotations

import inspect

import pytest
from django.db.models import Manager, Q, QuerySet

from django_rpc.graph.delayed.suggestions import INSTEAD, QUERY_METHODS

pytestmark = pytest.mark.django_db

#: Names that are no part of a query: how Django declares managers, and properties of a queryset object.
DECLARATION = set(
    "as_manager from_queryset get_queryset db_manager check contribute_to_class deconstruct creation_counter "
    "auto_created use_in_migrations db query ordered totally_ordered is_cached fetch_mode".split()
)


def test_methods_exist_or_have_reason(remote):
    orders = remote.Order.objects.delayed()
    public = {name for kind in (QuerySet, Manager) for name, _ in inspect.getmembers(kind) if name[0] != "_"}
    asynchronous = {name for name in public if name[0] == "a" and name[1:] in public}
    assert public - DECLARATION - asynchronous - INSTEAD.keys() <= QUERY_METHODS
    assert not INSTEAD.keys() & QUERY_METHODS
    for name in public - DECLARATION - QUERY_METHODS:
        with pytest.raises(AttributeError, match="Write") as caught:
            getattr(orders, name)
        assert ("await d" in str(caught.value)) == (name in asynchronous and name[1:] in QUERY_METHODS)
    for name in (public & QUERY_METHODS) - {"explain"}:
        assert name in dir(orders)
        assert callable(getattr(orders, name))


@pytest.mark.parametrize(
    "condition",
    [{"status": "paid"}, Q(status="paid") | Q(total__gt=10), {}, Q(), {"pk__in": [1, 2], "customer__name__gt": "M"}],
)
def test_complex_filter(shop_data, local, remote, condition):
    expected = list(local.Order.objects.order_by("pk").complex_filter(condition).values_list("pk", flat=True))
    orders = remote.Order.objects.order_by("pk")
    assert list(orders.complex_filter(condition).values_list("pk", flat=True)) == expected
    assert orders.delayed().complex_filter(condition).values_list("pk", flat=True).compute() == expected
    assert orders.delayed().complex_filter(filter_obj=condition).count().compute() == len(expected)
    of_each = remote.Customer.objects.order_by("pk").map(lambda c: c.orders.complex_filter(condition).count())
    assert of_each.compute() == [
        c.orders.complex_filter(condition).count() for c in local.Customer.objects.order_by("pk")
    ]


def test_complex_filter_takes_one_argument(remote):
    for wrong in ((), (Q(), Q())):
        with pytest.raises((TypeError, ValueError)):
            remote.Order.objects.delayed().complex_filter(*wrong)
