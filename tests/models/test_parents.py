"""Rows that arrive with other rows know their parent, however they were read: nothing is requested again."""

from __future__ import annotations

import pickle

import pytest
from django.db.models import Count, Model, Prefetch

from django_rpc import compute, gather

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


def _customers(models):
    return models.Customer.objects.filter(orders__isnull=False).distinct().order_by("pk")


def _profile(customer):
    return customer.profile.customer.name if hasattr(customer, "profile") else None


#: A query, and the attribute that is read of each of its rows.
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


#: A value that is read through a relation: a Delayed of the mirrors, and the same value of the local models.
RELATIONS = {
    "rows": (
        lambda m: m.Customer.objects.order_by("pk").delayed().first().orders,
        lambda m: list(m.Customer.objects.order_by("pk").first().orders.all()),
    ),
    "first": (
        lambda m: m.Customer.objects.order_by("pk").delayed().first().orders.order_by("pk").first(),
        lambda m: m.Customer.objects.order_by("pk").first().orders.order_by("pk").first(),
    ),
    "item": (
        lambda m: m.Customer.objects.order_by("pk").delayed().first().orders.order_by("pk")[0],
        lambda m: m.Customer.objects.order_by("pk").first().orders.order_by("pk")[0],
    ),
    "slice": (
        lambda m: m.Customer.objects.order_by("pk").delayed().first().orders.order_by("pk")[:2],
        lambda m: list(m.Customer.objects.order_by("pk").first().orders.order_by("pk")[:2]),
    ),
    "in_bulk": (
        lambda m: m.Customer.objects.order_by("pk").delayed().first().orders.all().in_bulk(),
        lambda m: m.Customer.objects.order_by("pk").first().orders.in_bulk(),
    ),
    "create": (
        lambda m: m.Customer.objects.order_by("pk").delayed().last().orders.create(number="new"),
        lambda m: m.Order(number="new", customer=m.Customer.objects.order_by("pk").last()),
    ),
    "get or create": (
        lambda m: m.Customer.objects.order_by("pk").delayed().last().orders.get_or_create(number="new"),
        lambda m: (m.Order(number="new", customer=m.Customer.objects.order_by("pk").last()), True),
    ),
    "joined": (
        lambda m: m.Customer.objects.order_by("pk").delayed().first().orders.select_related("customer").first(),
        lambda m: m.Customer.objects.order_by("pk").first().orders.first(),
    ),
    "one-to-one": (
        lambda m: m.Customer.objects.filter(profile__isnull=False).order_by("pk").delayed().first().profile,
        lambda m: m.Customer.objects.filter(profile__isnull=False).order_by("pk").first().profile,
    ),
    "one-to-one, forward": (
        lambda m: m.Profile.objects.order_by("pk").delayed().first().customer,
        lambda m: m.Profile.objects.order_by("pk").first().customer,
    ),
    "map, all": (
        lambda m: _customers(m).delayed().map(lambda row: row.orders),
        lambda m: [list(row.orders.all()) for row in _customers(m)],
    ),
    "map, filtered": (
        lambda m: _customers(m).delayed().map(lambda row: (row.name, row.orders.filter(status="paid"))),
        lambda m: [(row.name, list(row.orders.filter(status="paid"))) for row in _customers(m)],
    ),
    "map, first": (
        lambda m: _customers(m).delayed().map(lambda row: row.orders.order_by("pk").first()),
        lambda m: [row.orders.order_by("pk").first() for row in _customers(m)],
    ),
    "map, first by a value of the row": (
        lambda m: _customers(m).delayed().map(lambda row: row.orders.filter(total__gt=row.credit).first()),
        lambda m: [row.orders.filter(total__gt=row.credit).first() for row in _customers(m)],
    ),
    "map, slice": (
        lambda m: _customers(m).delayed().map(lambda row: row.orders.order_by("-pk")[:2]),
        lambda m: [list(row.orders.order_by("-pk")[:2]) for row in _customers(m)],
    ),
    "map, filter_by": (
        lambda m: _customers(m).delayed().map(lambda row: row.orders.filter_by(lambda order: order.total > 50)),
        lambda m: [[order for order in row.orders.all() if order.total > 50] for row in _customers(m)],
    ),
    "map, two levels": (
        lambda m: _customers(m).delayed().map(lambda row: row.orders.map(lambda order: order.lines.first())),
        lambda m: [[order.lines.first() for order in row.orders.all()] for row in _customers(m)],
    ),
    "map, annotated parent": (
        lambda m: _customers(m).annotate(number=Count("orders")).delayed().map(lambda row: row.orders.first()),
        lambda m: [row.orders.first() for row in _customers(m).annotate(number=Count("orders"))],
    ),
    "map, one-to-one": (
        lambda m: m.Customer.objects.filter(profile__isnull=False).delayed().map(lambda row: row.profile),
        lambda m: [row.profile for row in m.Customer.objects.filter(profile__isnull=False)],
    ),
    "map, one-to-one, forward": (
        lambda m: m.Profile.objects.order_by("pk").delayed().map(lambda row: row.customer),
        lambda m: [row.customer for row in m.Profile.objects.order_by("pk")],
    ),
    "map, to itself": (
        lambda m: m.Category.objects.order_by("pk").delayed().map(lambda row: row.parts),
        lambda m: [list(row.parts.all()) for row in m.Category.objects.order_by("pk")],
    ),
    "map, many-to-many": (
        lambda m: m.Order.objects.order_by("pk").delayed().map(lambda row: row.products),
        lambda m: [list(row.products.all()) for row in m.Order.objects.order_by("pk")],
    ),
}


def _linked(value):
    """Return the related rows that the rows in ``value`` know, with the values of their fields that a client sees."""
    if isinstance(value, list | tuple):
        return [_linked(item) for item in value]
    if isinstance(value, dict):
        return {key: _linked(item) for key, item in value.items()}
    if not isinstance(value, Model):
        return value
    fields = {name: item for name, item in value.__dict__.items() if not name.startswith("_")}
    links = {name: _field_values(row) for name, row in value._state.fields_cache.items()}
    return type(value).__name__, fields.get("number"), links


def _field_values(row):
    names = [*(field.attname for field in row._meta.concrete_fields if field.name != "secret_note"), "number"]
    return {name: row.__dict__[name] for name in names if name in row.__dict__}


@pytest.mark.parametrize("case", RELATIONS)
def test_rows_of_a_relation_know_their_parent(local, remote, shop_data, messages, case):
    query, expected = RELATIONS[case]
    links = _linked(expected(local))
    with messages() as sent:
        value = query(remote).compute()
    assert len(sent) == 1
    with messages() as sent:
        assert _linked(value) == links
    assert len(sent) == 0


def test_a_row_that_gets_another_parent_does_not_know_the_first(local, remote, shop_data):
    first, second = _customers(remote)[:2]
    order = first.orders.first()
    relation = remote.Customer.objects.delayed().get(pk=first.pk).orders
    row, created = relation.update_or_create(pk=order.pk, defaults={"customer": second}).compute()
    assert (row.customer_id, created, row.customer.name) == (second.pk, False, second.name)
    assert local.Order.objects.get(pk=order.pk).customer_id == second.pk


def test_rows_of_one_parent_share_it(remote, shop_data):
    first, *orders = _customers(remote).delayed().first().orders.compute()
    assert orders
    assert all(order.customer is first.customer for order in orders)


#: Values of a Delayed that begins at the manager of an instance of the client.
MANAGED = {
    "first": lambda orders: orders.first(),
    "last": lambda orders: orders.last(),
    "get": lambda orders: orders.order_by("pk")[:1].get(),
    "item": lambda orders: orders.order_by("pk")[0],
    "slice": lambda orders: orders.order_by("pk")[:2],
    "filtered": lambda orders: orders.filter(pk__gt=0),
    "in_bulk": lambda orders: orders.in_bulk(),
    "map": lambda orders: orders.map(lambda order: (order, order.pk)),
    "filter_by": lambda orders: orders.filter_by(lambda order: order.pk > 0),
}


def _instances(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [instance for item in value for instance in _instances(item)]
    return [value] if isinstance(value, Model) else []


@pytest.mark.parametrize("way", ["compute", "submit"])
@pytest.mark.parametrize("case", MANAGED)
def test_values_of_a_delayed_manager_know_its_instance(remote, shop_data, messages, case, way):
    customer = _customers(remote).first()
    with messages() as sent:
        value = MANAGED[case](customer.orders.delayed())
        value = value.compute() if way == "compute" else value.submit().result()
        instances = _instances(value)
        assert instances
        assert all(order.customer is customer for order in instances)
    assert len(sent) == 1


def test_another_query_of_the_message_knows_no_instance(remote, shop_data):
    customer = _customers(remote).first()
    order, other = compute(customer.orders.delayed().first(), remote.Order.objects.order_by("pk").delayed().first())
    assert order.customer is customer
    assert not remote.Order._meta.get_field("customer").is_cached(other)


def test_a_delayed_manager_can_be_pickled(remote, shop_data):
    customer = _customers(remote).first()
    order = pickle.loads(pickle.dumps(customer.orders.delayed().first())).compute()
    assert remote.Order._meta.get_field("customer").get_cached_value(order) == customer


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
