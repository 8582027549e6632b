"""Rows that arrive with other rows know their parent, whichever way they were asked for: nothing is fetched again."""

from __future__ import annotations

import pytest
from django.db.models import Prefetch

from django_rpc import compute, gather

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


def _customers(models):
    return models.Customer.objects.filter(orders__isnull=False).distinct().order_by("pk")


def _profile(customer):
    return customer.profile.customer.name if hasattr(customer, "profile") else None


#: A query, and what is read of each of its rows.
CASES = {
    "foreign key": (
        lambda m: _customers(m).prefetch_related("orders"),
        lambda row: [order.customer.name for order in row.orders.all()],
    ),
    "to_attr": (
        lambda m: _customers(m).prefetch_related(Prefetch("orders", m.Order.objects.all(), "found")),
        lambda row: [order.customer.name for order in row.found],
    ),
    "filtered": (
        lambda m: _customers(m).prefetch_related(Prefetch("orders", m.Order.objects.filter(status="paid"))),
        lambda row: [order.customer.name for order in row.orders.all()],
    ),
    "two levels": (
        lambda m: _customers(m).prefetch_related("orders__lines"),
        lambda row: [[line.order.customer.name for line in order.lines.all()] for order in row.orders.all()],
    ),
    "joined one-to-one": (lambda m: m.Customer.objects.select_related("profile").order_by("pk"), _profile),
    "prefetched one-to-one": (lambda m: m.Customer.objects.prefetch_related("profile").order_by("pk"), _profile),
    "annotated and joined": (
        lambda m: m.Customer.objects.select_related("profile", "referred_by").order_by("pk"),
        lambda row: (_profile(row), row.referred_by and row.referred_by.name),
    ),
    "one-to-one, forward": (
        lambda m: m.Profile.objects.select_related("customer").order_by("pk"),
        lambda row: row.customer.profile.bio,
    ),
    "one-to-one, forward, prefetched": (
        lambda m: m.Profile.objects.prefetch_related("customer").order_by("pk"),
        lambda row: row.customer.profile.bio,
    ),
    "through a foreign key": (
        lambda m: m.Order.objects.select_related("customer__profile").order_by("pk"),
        lambda row: _profile(row.customer),
    ),
    "prefetched through a foreign key": (
        lambda m: m.Order.objects.prefetch_related("customer__profile").order_by("pk"),
        lambda row: _profile(row.customer),
    ),
    "to itself": (
        lambda m: m.Category.objects.prefetch_related("parts").order_by("pk"),
        lambda row: [part.parent.title for part in row.parts.all()],
    ),
    "null": (
        lambda m: m.Customer.objects.select_related("referred_by__referred_by").order_by("pk"),
        lambda row: row.referred_by and row.referred_by.referred_by and row.referred_by.referred_by.name,
    ),
    "many-to-many": (
        lambda m: m.Product.objects.prefetch_related("tags", "category").order_by("pk"),
        lambda row: ([tag.name for tag in row.tags.all()], row.category.title),
    ),
}

WAYS = {
    "lazy": lambda query: list(query),
    "delayed": lambda query: query.delayed().compute(),
    "compute": lambda query: list(compute(query)[0]),
    "compute delayed": lambda query: compute(query.delayed())[0],
    "gather": lambda query: list(gather(query.future().submit())[0]),
    "first": lambda query: [query.delayed().first().compute()],
    "in_bulk": lambda query: list(query.order_by().delayed().in_bulk().compute().values()),
    "map": lambda query: query.delayed().map(lambda row: row).compute(),
}


@pytest.mark.parametrize("way", WAYS)
def test_rows_know_their_parent(local, remote, shop_data, messages, way):
    local.Profile.objects.filter(pk__in=[row.pk for row in local.Profile.objects.order_by("pk")[::2]]).delete()
    for case, (query, read) in CASES.items():
        expected = {row.pk: read(row) for row in query(local)}
        with messages() as sent:
            rows = WAYS[way](query(remote))
        assert len(sent) == 1, case
        with messages() as sent:
            found = {row.pk: read(row) for row in rows}
        assert len(sent) == 0, case
        assert found == (expected if way != "first" else {key: expected[key] for key in found}), case


def test_an_absent_row_is_none_in_the_cache(local, remote, shop_data, messages):
    local.Profile.objects.all().delete()
    customer = remote.Customer.objects.select_related("profile").delayed().first().compute()
    with messages() as sent, pytest.raises(remote.Profile.DoesNotExist):
        _ = customer.profile
    assert len(sent) == 0


@pytest.mark.parametrize("way", ["lazy", "delayed", "compute", "compute delayed"])
def test_rows_of_a_manager_know_its_instance(remote, shop_data, messages, way):
    customer = _customers(remote).first()
    with messages() as sent:
        rows = WAYS[way](customer.orders.all())
        assert all(order.customer is customer for order in rows)
    assert len(sent) == 1


def test_a_foreign_key_keeps_its_value_where_its_row_is_not_there(remote, shop_data):
    """The related row may be hidden from this client: then the key stays, and the row is None."""
    from django_rpc.graph.values import Record
    from django_rpc.models.instances import MirrorResults

    record = Record("shop.Order", ("id", "customer_id", "customer"), (1, 5, None))
    assert MirrorResults("rpc").record(record).customer_id == 5
