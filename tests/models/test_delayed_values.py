"""Values of values() and values_list() through Delayed, compute() and gather(): as Django's list of the queryset."""

from __future__ import annotations

import datetime
import decimal
import pickle

import pytest
from asgiref.sync import async_to_sync
from django.db.models import Avg, Count, F, JSONField, Max, Value
from django.db.models.functions import Lower

import django_rpc

pytestmark = pytest.mark.django_db

DOCUMENTS = [
    [1, [2, {"a": [3]}]],
    {"tags": ["x", None], "$set": {"$tuple": [1]}},
    None,
    "text",
    5,
    2.5,
    True,
    [],
    {},
    [None, {"deep": {"deeper": [[], [[]]]}}],
    {"1": 10**30},
]


def typed(value):
    """``value`` with the type of each part, so that 1, True and Decimal(1), or a list and a tuple, differ."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value), value._fields, [typed(item) for item in value]
    if isinstance(value, list | tuple):
        return type(value), [typed(item) for item in value]
    if isinstance(value, dict):
        return dict, [(key, typed(item)) for key, item in value.items()]
    return type(value), value


@pytest.fixture
def products(local, remote, shop_data):
    for number, product in enumerate(local.Product.objects.order_by("pk")):
        document = DOCUMENTS[number % len(DOCUMENTS)]
        product.attributes = Value(None, JSONField()) if document is None else document
        product.save(update_fields=["attributes"])
    return local.Product, remote.Product


QUERIES = {
    "flat json": lambda q: q.values_list("attributes", flat=True),
    "flat json that begins with a dict": lambda q: q.order_by("-pk").values_list("attributes", flat=True),
    "flat json in a slice": lambda q: q.values_list("attributes", flat=True)[1:5],
    "json key": lambda q: q.values_list("attributes__tags", flat=True),
    "rows of json": lambda q: q.values_list("pk", "attributes"),
    "one column": lambda q: q.values_list("attributes"),
    "dicts of json": lambda q: q.values("attributes", "price"),
    "named": lambda q: q.values_list("pk", "attributes", "price", named=True),
    "named annotations": lambda q: q.annotate(n=Count("lines")).values_list("n", "sku", Lower("sku"), named=True),
    "named expression": lambda q: q.values_list("sku", Lower("sku"), F("price") + 1, named=True),
    "named path": lambda q: q.filter(lines__isnull=False).values_list("lines__order__customer__email", named=True),
    "annotations": lambda q: q.values("price").annotate(n=Count("pk"), m=Max("pk")).order_by("price"),
    "flat expression": lambda q: q.annotate(v=Value("x")).values_list("v", flat=True),
    "empty": lambda q: q.none().values_list("attributes", flat=True),
    "named, then annotated": lambda q: q.values_list("sku", named=True).annotate(n=Count("lines")),
    "empty named": lambda q: q.filter(pk=-1).values_list("pk", named=True),
    "distinct": lambda q: q.values_list("price", flat=True).distinct().order_by("price"),
    "union": lambda q: (
        q.order_by().values_list("pk", "sku").union(q.order_by().values_list("pk", "sku")).order_by("pk")
    ),
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_rows_are_those_of_a_local_list(products, query):
    local, remote = (query(model.objects.order_by("pk")) for model in products)
    expected = typed(list(local))
    assert typed(list(remote)) == expected
    assert typed(remote.compute()) == expected
    assert typed(remote.delayed().compute()) == expected
    assert typed(django_rpc.compute(remote, [remote])) == (tuple, [expected, (list, [expected])])
    assert typed(django_rpc.gather(remote.delayed(), remote)) == (list, [expected, expected])
    assert typed(remote.delayed().submit().result()) == expected
    assert typed(list(remote.submit().result())) == expected
    assert typed(async_to_sync(_awaited)(remote.delayed())) == expected
    assert typed(django_rpc.delayed(list)(remote).compute()) == expected
    assert typed(remote.delayed().map(lambda row: row).compute()) == expected
    assert typed(remote.delayed().map(lambda row: [row, {"row": row}]).compute()) == typed(
        [[row, {"row": row}] for row in local]
    )


async def _awaited(delayed):
    return await delayed


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize(
    "end",
    [
        lambda q: q.first(),
        lambda q: q.last(),
        lambda q: q[0],
        lambda q: q[1:3],
        lambda q: q.count(),
        lambda q: q.exists(),
        lambda q: q.reverse()[:2],
    ],
    ids="first last item slice count exists reverse".split(),
)
def test_value_equals_local_queryset(products, query, end):
    local, remote = (query(model.objects.order_by("pk")) for model in products)
    expected, error = _outcome(lambda: end(local))
    assert _outcome(lambda: end(remote.delayed()).compute()) == (expected, error)


def _outcome(work):
    try:
        value = work()
        return typed(value if not hasattr(value, "query") else list(value)), None
    except Exception as error:  # noqa: BLE001 - compared
        return None, type(error).__name__


def test_get_and_in_bulk_of_values(products):
    local, remote = products
    for query in QUERIES.values():
        key = local.objects.order_by("pk")[1].pk
        for end in (lambda q: q.get(pk=key), lambda q: q.in_bulk([key]), lambda q: q.aggregate(n=Avg("price"))):  # noqa: B023
            expected = _outcome(lambda: end(query(local.objects)))  # noqa: B023
            assert _outcome(lambda: end(query(remote.objects.delayed())).compute()) == expected  # noqa: B023


def test_dates_and_datetimes(products, local, remote):
    for query in (
        lambda q: q.dates("created", "month"),
        lambda q: q.datetimes("created", "day", order="DESC"),
        lambda q: q.values_list("created__date", flat=True).order_by("pk"),
        lambda q: q.values("created").order_by("pk"),
    ):
        expected = typed(list(query(local.Order.objects)))
        assert typed(query(remote.Order.objects).delayed().compute()) == expected
        assert typed(query(remote.Order.objects.delayed()).compute()) == expected
    assert type(remote.Order.objects.dates("created", "day").delayed().first().compute()) is datetime.date


def test_named_rows_have_attributes_everywhere(products):
    local, remote = products
    rows = remote.objects.order_by("pk").delayed().values_list("pk", "price", "attributes", named=True)
    expected = list(local.objects.order_by("pk").values_list("pk", "price", "attributes", named=True))
    first = rows.compute()[0]
    assert (type(first.price), first.attributes) == (decimal.Decimal, expected[0].attributes)
    assert type(first) is type(expected[0])
    assert rows[0].price.compute() == expected[0].price
    assert rows.map(lambda row: row.price * 2).compute() == [row.price * 2 for row in expected]
    assert rows.map(lambda row: row).filter_by(lambda row: row.pk > first.pk).len().compute() == len(expected) - 1
    local_sum = django_rpc.delayed(lambda given: sum(row.price for row in given))(rows)
    assert local_sum.compute() == sum(row.price for row in expected)
    assert rows.filter(pk__in=django_rpc.delayed(list)([rows[0].pk])).count().compute() == 1
    assert typed(pickle.loads(pickle.dumps(rows)).compute()) == typed(expected)


def test_named_rows_of_a_relation_in_a_map(shop_data, local, remote):
    made = remote.Customer.objects.order_by("pk").map(
        lambda customer: customer.orders.order_by("pk").values_list("pk", "number", named=True)
    )
    expected = [
        list(customer.orders.order_by("pk").values_list("pk", "number", named=True))
        for customer in local.Customer.objects.order_by("pk")
    ]
    assert typed(made.compute()) == typed(expected)


def test_json_lists_of_a_relation_in_a_map(products, local, remote):
    made = remote.Order.objects.order_by("pk").map(
        lambda order: order.lines.order_by("pk").values_list("product__attributes", flat=True)
    )
    expected = [
        list(order.lines.order_by("pk").values_list("product__attributes", flat=True))
        for order in local.Order.objects.order_by("pk")
    ]
    assert typed(made.compute()) == typed(expected)


def test_json_of_instances(products):
    local, remote = products
    expected = typed([product.attributes for product in local.objects.order_by("pk")])
    rows = remote.objects.order_by("pk").delayed()
    assert typed([product.attributes for product in rows.compute()]) == expected
    assert typed(rows.map(lambda product: product.attributes).compute()) == expected
    assert typed([rows[place].attributes.compute() for place in (0, 1)]) == typed([DOCUMENTS[0], DOCUMENTS[1]])
