"""Every public method of Django's QuerySet and Manager works on a mirror, or is refused with the reason.

The tests read the list of methods from Django, so a method that a new release adds fails here until it is classified.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from asgiref.sync import async_to_sync
from django.db import NotSupportedError, models
from django.db.models import Count, F, Max, Q, Value

from tests.models.plain import plain

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])

#: Attributes that are no methods for users.
NOT_FOR_ROWS = {
    "as_manager",
    "auto_created",
    "check",
    "contribute_to_class",
    "creation_counter",
    "deconstruct",
    "from_queryset",
    "query",
    "resolve_expression",
    "use_in_migrations",
}

CUSTOMER = {"name": "New", "city": "Oslo", "joined": dt.date(2025, 1, 2), "credit": Decimal(0), "tier": "basic"}


def customers(m):
    return m.Customer.objects.order_by("id")


def changed(m, value):
    """Return the result of a write, and the rows after it."""
    rows = m.Customer.objects.order_by("id").values_list("id", "name", "email", "city", "credit")
    return value, list(rows)


def bulk_updated(m, update):
    rows = list(customers(m)[:3])
    for row in rows:
        row.city = "Nowhere"
    return changed(m, update(rows, ["city"]))


CASES = {
    "aggregate": lambda m: m.Customer.objects.aggregate(n=Count("id"), last=Max("joined")),
    "alias": lambda m: list(customers(m).alias(n=Count("orders")).filter(n__gt=1)),
    "all": lambda m: list(m.Customer.objects.order_by("id").all()),
    "annotate": lambda m: list(customers(m).annotate(n=Count("orders"))),
    "bulk_create": lambda m: changed(
        m,
        m.Customer.objects.bulk_create(
            [m.Customer(pk=5000 + i, email=f"{i}@example.org", **CUSTOMER) for i in range(3)]
        ),
    ),
    "bulk_update": lambda m: bulk_updated(m, m.Customer.objects.bulk_update),
    "complex_filter": lambda m: list(customers(m).complex_filter(Q(tier="vip"))),
    "contains": lambda m: m.Customer.objects.contains(customers(m).first()),
    "count": lambda m: m.Customer.objects.count(),
    "create": lambda m: changed(m, m.Customer.objects.create(id=5000, email="x@example.org", **CUSTOMER)),
    "dates": lambda m: list(m.Customer.objects.dates("joined", "year")),
    "datetimes": lambda m: list(m.Order.objects.datetimes("created", "month", order="DESC")),
    "db_manager": lambda m: m.Customer.objects.db_manager(m.Customer.objects.db).count(),
    "db": lambda m: m.Customer.objects.db == m.Customer.objects.all().db,
    "defer": lambda m: list(customers(m).defer("name")),
    "delete": lambda m: changed(m, m.Customer.objects.filter(tier="vip").delete()[0]),
    "difference": lambda m: list(
        m.Customer.objects.all().difference(m.Customer.objects.filter(tier="vip")).order_by("id")
    ),
    "distinct": lambda m: list(m.Customer.objects.values("city").distinct().order_by("city")),
    "earliest": lambda m: m.Customer.objects.earliest("joined", "id"),
    "exclude": lambda m: list(customers(m).exclude(tier="vip")),
    "exists": lambda m: m.Customer.objects.filter(tier="vip").exists(),
    "explain": lambda m: type(m.Customer.objects.explain()),
    "filter": lambda m: list(customers(m).filter(tier="vip")),
    "first": lambda m: m.Customer.objects.first(),
    "get": lambda m: m.Customer.objects.get(pk=1),
    "get_or_create": lambda m: changed(
        m, m.Customer.objects.get_or_create(id=5000, email="x@example.org", defaults=CUSTOMER)
    ),
    "get_queryset": lambda m: list(m.Customer.objects.get_queryset().order_by("id")),
    "in_bulk": lambda m: m.Customer.objects.in_bulk([3, 1]),
    "intersection": lambda m: list(m.Tag.objects.all().intersection(m.Tag.objects.filter(id__lt=4)).order_by("id")),
    "iterator": lambda m: list(customers(m).iterator(chunk_size=7)),
    "last": lambda m: m.Customer.objects.last(),
    "latest": lambda m: m.Order.objects.latest("id"),
    "none": lambda m: list(m.Customer.objects.none()),
    "only": lambda m: list(customers(m).only("name")),
    "order_by": lambda m: list(m.Customer.objects.order_by("-name", "id")),
    "ordered": lambda m: (m.Customer.objects.all().ordered, m.Product.objects.all().ordered, customers(m).ordered),
    "prefetch_related": lambda m: list(customers(m).prefetch_related("orders")),
    "reverse": lambda m: list(customers(m).reverse()),
    "select_for_update": lambda m: changed(m, customers(m).select_for_update().filter(pk__lt=5).update(city="X")),
    "select_related": lambda m: list(customers(m).select_related("referred_by")),
    "union": lambda m: list(m.Tag.objects.filter(id=1).union(m.Tag.objects.filter(id=2), all=True).order_by("id")),
    "update": lambda m: changed(m, m.Customer.objects.filter(tier="vip").update(city="X", credit=F("credit") + 1)),
    "update_or_create": lambda m: changed(
        m, m.Customer.objects.update_or_create(pk=3, defaults={"city": "Y"}, create_defaults=CUSTOMER)
    ),
    "using": lambda m: m.Customer.objects.using(m.Customer.objects.db).count(),
    "values": lambda m: list(customers(m).values("id", "referred_by__name")),
    "values_list": lambda m: list(customers(m).values_list("id", "name", named=True)),
}

if hasattr(models, "FETCH_PEERS"):  # since Django 6.1
    CASES |= {
        "fetch_mode": lambda m: [
            order.customer.name for order in m.Order.objects.order_by("id").fetch_mode(models.FETCH_PEERS)
        ],
        "totally_ordered": lambda m: (customers(m).totally_ordered, m.Customer.objects.all().totally_ordered),
    }

ASYNC_CASES = {
    "aaggregate": lambda m: m.Customer.objects.aaggregate(n=Count("id")),
    "abulk_create": lambda m: m.Tag.objects.abulk_create([m.Tag(pk=50, name="a"), m.Tag(pk=51, name="b")]),
    "abulk_update": lambda m: m.Tag.objects.abulk_update([m.Tag(pk=1, name="a"), m.Tag(pk=2, name="b")], ["name"]),
    "acontains": lambda m: m.Tag.objects.acontains(m.Tag(pk=1)),
    "acount": lambda m: m.Customer.objects.acount(),
    "acreate": lambda m: m.Customer.objects.acreate(id=5000, email="x@example.org", **CUSTOMER),
    "adelete": lambda m: m.Line.objects.filter(quantity=1).adelete(),
    "aearliest": lambda m: m.Customer.objects.aearliest("joined", "id"),
    "aexists": lambda m: m.Customer.objects.filter(tier="vip").aexists(),
    "aexplain": lambda m: kind_of(m.Customer.objects.aexplain()),
    "afirst": lambda m: m.Customer.objects.afirst(),
    "aget": lambda m: m.Customer.objects.aget(pk=2),
    "aget_or_create": lambda m: m.Customer.objects.aget_or_create(id=5000, email="x@example.org", defaults=CUSTOMER),
    "ain_bulk": lambda m: m.Customer.objects.ain_bulk([1, 5]),
    "aiterator": lambda m: collected(customers(m).prefetch_related("orders").aiterator(chunk_size=5)),
    "alast": lambda m: m.Customer.objects.alast(),
    "alatest": lambda m: m.Order.objects.alatest("id"),
    "aupdate": lambda m: m.Customer.objects.filter(tier="vip").aupdate(city="X"),
    "aupdate_or_create": lambda m: m.Customer.objects.aupdate_or_create(pk=3, defaults={"city": "Y"}),
}

#: Refused, with a word of the reason.
REFUSED = {
    "raw": (lambda m: m.Customer.objects.raw("SELECT 1"), "no SQL crosses the wire"),
    "extra": (lambda m: m.Customer.objects.extra(where=["1=1"]), "no SQL crosses the wire"),
}


async def kind_of(coroutine):
    return type(await coroutine)


async def collected(iterator):
    return [item async for item in iterator]


def public_methods():
    found = set()
    for kind in (models.QuerySet, models.Manager, type(models.Manager())):
        found |= {name for name in dir(kind) if not name.startswith("_")}
    return found


def test_every_public_method_has_a_case():
    covered = NOT_FOR_ROWS | CASES.keys() | ASYNC_CASES.keys() | REFUSED.keys()
    assert public_methods() - covered == set()
    assert covered - public_methods() == set()


def neutral(value):
    """The labels of models in the result of delete() differ between both ends."""
    text = plain(value)
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], dict):
        return value[0], sorted(label.partition(".")[2] for label in value[1])
    return text


@pytest.mark.parametrize("name", CASES)
def test_method(name, local, remote, shop_data, in_savepoint):
    with in_savepoint():
        expected = neutral(CASES[name](local))
    assert neutral(CASES[name](remote)) == expected


@pytest.mark.django_db(transaction=True, databases=["default", "rpc"])
@pytest.mark.parametrize("name", ASYNC_CASES)
def test_async_method(name, local, remote, shop_data, in_savepoint):
    with in_savepoint():
        expected = neutral(async_to_sync(run)(ASYNC_CASES[name], local))
    assert neutral(async_to_sync(run)(ASYNC_CASES[name], remote)) == expected


async def run(case, side):
    return await case(side)


@pytest.fixture
def in_savepoint():
    """``with in_savepoint(): ...``: undo the writes in it, so that the keys are the same again."""
    from contextlib import contextmanager

    from django.db import transaction

    @contextmanager
    def undo():
        with transaction.atomic():
            yield
            transaction.set_rollback(True)

    return undo


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, remote, messages):
    call, reason = REFUSED[name]
    with messages() as sent, pytest.raises(NotSupportedError, match=reason) as caught:
        call(remote)
    assert f"Customer.objects.{name}()" in str(caught.value)
    assert len(sent) == 0


class MyFunc(models.Func):
    function = "VERSION"


REFUSED_ARGUMENTS = {
    "RawSQL": (lambda m, local: m.Customer.objects.annotate(x=models.expressions.RawSQL("1", ())), "no SQL crosses"),
    "RawSQL in filter": (
        lambda m, local: m.Customer.objects.filter(id__in=models.expressions.RawSQL("SELECT 1", ())),
        "no SQL crosses",
    ),
    "Func": (lambda m, local: m.Customer.objects.annotate(x=models.Func(F("id"), function="HEX")), "Func.*not one of"),
    "Func subclass": (lambda m, local: m.Customer.objects.annotate(x=MyFunc()), "MyFunc.*not one of"),
    "Func with a template": (
        lambda m, local: m.Customer.objects.annotate(x=models.functions.Lower("name", template="x")),
        r"Lower\(template=...\) cannot be sent",
    ),
    "Collate": (
        lambda m, local: m.Customer.objects.annotate(x=models.functions.Collate("name", "no case")),
        "collation",
    ),
    "local queryset": (
        lambda m, local: m.Order.objects.filter(customer__in=local.Customer.objects.all()),
        "local model Customer.*another database",
    ),
    "local queryset in Q": (
        lambda m, local: m.Order.objects.filter(Q(total=1) | ~Q(customer__in=local.Customer.objects.values("pk"))),
        "local model Customer.*another database",
    ),
    "local Subquery": (
        lambda m, local: m.Order.objects.annotate(x=models.Subquery(local.Customer.objects.values("pk")[:1])),
        "local queryset cannot be sent",
    ),
    "local Exists": (
        lambda m, local: m.Order.objects.filter(models.Exists(local.Customer.objects.all())),
        "local queryset cannot be sent",
    ),
    "local instance": (
        lambda m, local: m.Order.objects.filter(customer=local.Customer(pk=1)),
        "instance of the local model Customer",
    ),
    "local instance in a list": (
        lambda m, local: m.Order.objects.filter(customer__in=[local.Customer(pk=1)]),
        "instance of the local model Customer",
    ),
    "unsaved instance": (lambda m, local: m.Order.objects.filter(customer=m.Customer()), "not saved|unsaved"),
    "any object": (lambda m, local: m.Customer.objects.filter(name=object()), "cannot be sent to a service"),
    "object in Value": (lambda m, local: m.Customer.objects.annotate(x=Value(object())), "cannot be sent|resolve"),
    "union with local": (
        lambda m, local: m.Customer.objects.all().union(local.Customer.objects.all()),
        "local model Customer",
    ),
    "or with local": (
        lambda m, local: m.Customer.objects.all() | local.Customer.objects.all(),
        "combined with one on the local model",
    ),
    "update to a local queryset": (
        lambda m, local: m.Order.objects.update(total=models.Subquery(local.Order.objects.values("total")[:1])),
        "local queryset cannot be sent",
    ),
    "prefetch of a local queryset": (
        lambda m, local: list(
            m.Customer.objects.prefetch_related(models.Prefetch("orders", local.Order.objects.all()))
        ),
        "local model Order",
    ),
    "call with an object": (lambda m, local: m.ClientModel.objects.call("manager_function", object(), 1), "cannot be"),
    "foreign database": (lambda m, local: m.Customer.objects.using("nowhere").count(), "nowhere"),
    "future bulk_create": (lambda m, local: m.Tag.objects.future().bulk_create([m.Tag(name="x")]), "Omit future"),
}


@pytest.mark.parametrize("name", REFUSED_ARGUMENTS)
def test_refused_arguments(name, remote, local, messages):
    call, reason = REFUSED_ARGUMENTS[name]
    with messages() as sent, pytest.raises(Exception, match=reason) as caught:
        call(remote, local)
    assert type(caught.value).__module__ in (
        "builtins",
        "django.db.utils",
        "django.core.exceptions",
        "django.utils.connection",
    )
    assert len(sent) == 0


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True, databases=["default", "rpc"])
async def test_async_instances(remote, local, shop_data):
    made = await remote.Tag.objects.acreate(name="async")
    made.name = "async-2"
    await made.asave(update_fields=["name"])
    other = await remote.Tag.objects.aget(pk=made.pk)
    assert other.name == "async-2"
    await remote.Tag.objects.filter(pk=made.pk).aupdate(name="async-3")
    await other.arefresh_from_db()
    assert other.name == "async-3"
    assert (await other.adelete())[0] == 1
    assert not await remote.Tag.objects.filter(name="async-3").aexists()
    assert [tag.pk async for tag in remote.Tag.objects.order_by("id")[:3]] == [1, 2, 3]
    assert await remote.Tag.objects.filter(pk=1).agetset(name="old") != []
    assert await remote.Tag.objects.future().acreate(name="f") is not None
    assert (await remote.ClientModel.objects.acall("manager_function", 1, 2))["sum"] == 3
    assert await remote.Tag.objects.filter(pk=1).delayed().count() == 1


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True, databases=["default", "rpc"])
async def test_async_relations(remote, local, shop_data):
    product = await remote.Product.objects.aget(pk=1)
    tags = [tag async for tag in remote.Tag.objects.order_by("id")[:3]]
    await product.tags.aset(tags)
    await product.tags.aremove(tags[0])
    await product.tags.aadd(tags[0].pk)
    assert {tag.pk async for tag in product.tags.all()} == {1, 2, 3}
    made = await product.tags.acreate(name="made")
    again, created = await product.tags.aget_or_create(name="made")
    assert (again, created) == (made, False)
    updated, created = await product.tags.aupdate_or_create(name="made", defaults={"name": "made-2"})
    assert (updated.pk, updated.name, created) == (made.pk, "made-2", False)
    await product.tags.aclear()
    assert await product.tags.acount() == 0
    customer = await remote.Customer.objects.aget(pk=1)
    order = await customer.orders.acreate(total=3)
    assert order.customer_id == 1
    found, created = await customer.orders.aget_or_create(number=order.number)
    assert (found, created) == (order, False)
    friend = await remote.Customer.objects.aget(pk=2)
    await customer.referrals.aadd(friend)
    await customer.referrals.aset([friend])
    await customer.referrals.aremove(friend)
    await customer.referrals.aclear()
    assert await customer.referrals.acount() == 0
