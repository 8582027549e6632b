"""Clients in other time zones and languages than the worker get the results of local models in the client's process.

The oracle reads the worker's database with the service's models, in the test's process, so in the client's zone.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import os
import threading
import zoneinfo
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.db import connections
from django.db.models import Count, DateTimeField, F, Max, Min
from django.db.models.functions import Cast, ExtractHour, Now, TruncDate, TruncDay, TruncHour
from django.test import override_settings
from django.utils import timezone, translation

import django_rpc
from django_rpc import errors
from django_rpc.demo import environment

from .conftest import run_service

HERE = Path(__file__).parent
DATABASE = "worker"  # an alias of the worker's database, for the oracle
KOLKATA = zoneinfo.ZoneInfo("Asia/Kolkata")
MOMENTS = [
    dt.datetime(2024, 3, 9, 19, 30, tzinfo=dt.UTC),  # the next day in Kolkata, the same day in St John's
    dt.datetime(2024, 3, 10, 2, 30, tzinfo=dt.UTC),  # the day before in St John's
    dt.datetime(2024, 3, 10, 12, 15, 30, 123456, tzinfo=dt.UTC),
    dt.datetime(2024, 10, 27, 0, 30, tzinfo=dt.UTC),  # half past two, the first time, in Berlin
    dt.datetime(2024, 10, 27, 1, 30, tzinfo=dt.UTC),  # and the second time
    dt.datetime(2024, 12, 31, 23, 59, tzinfo=dt.UTC),
]
ZONES = [
    KOLKATA,
    zoneinfo.ZoneInfo("Europe/Berlin"),
    zoneinfo.ZoneInfo("Pacific/Kiritimati"),
    zoneinfo.ZoneInfo("UTC"),
    dt.UTC,
    dt.timezone(dt.timedelta(hours=5, minutes=45)),
    dt.timezone(-dt.timedelta(hours=11)),
]


@pytest.fixture(scope="module")
def start_zoned(redis, tmp_path_factory, django_db_blocker):
    """``start_zoned(**env)``: a worker in its zone, with its database as the alias ``worker``."""
    from django_rpc.demo.services import prepare_database

    url = environment.sqlite_url(tmp_path_factory.mktemp("zoned") / "zoned.sqlite3")
    prepare_database(url, data={"customers": 3, "products": 2, "orders": 0})
    with pytest.MonkeyPatch.context() as patch, django_db_blocker.unblock():
        patch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]))
        connections.settings[DATABASE] = connections.configure_settings({"default": environment.parse_database(url)})[
            "default"
        ]
        fill()
        yield functools.partial(_started, url, redis)
        connections[DATABASE].close()
        del connections.settings[DATABASE]


@contextlib.contextmanager
def _started(url, redis, **env):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        options = {"settings_module": "zoned_settings", "concurrency": 1}
        with run_service("zoned", redis.url, redis.url, url, redis, **options) as service:
            yield service


def fill():
    """Make one order for each of the moments."""
    from django_rpc.demo.server.shop.models import Customer, Order

    customer = Customer.objects.using(DATABASE).earliest("pk")
    for number, moment in enumerate(MOMENTS):
        Order.objects.using(DATABASE).create(customer=customer, number=f"Z-{number}", created=moment)


@pytest.fixture(scope="module")
def zoned(start_zoned):
    with start_zoned() as service:
        yield service


@pytest.fixture
def orders(zoned, use_service, local, remote):
    """The mirror's manager and the oracle's."""
    with use_service(zoned):
        yield remote.Order.objects, local.Order.objects.using(DATABASE)


def day(year, month, number):
    return dt.date(year, month, number)


READS = {
    "date": lambda orders: orders.filter(created__date=day(2024, 3, 10)).count(),
    "excluded date": lambda orders: orders.exclude(created__date__gt=day(2024, 3, 10)).count(),
    "hour": lambda orders: [orders.filter(created__hour=hour).count() for hour in range(24)],
    "year": lambda orders: orders.filter(created__year=2025).count(),
    "time": lambda orders: orders.filter(created__time__lt=dt.time(6)).count(),
    "truncated": lambda orders: list(orders.annotate(d=TruncDay("created")).values_list("number", "d")),
    "truncated to a date": lambda orders: list(orders.values_list(TruncDate("created"), "pk")),
    "truncated in a zone": lambda orders: list(orders.values_list(TruncHour("created", tzinfo=ZONES[1]))),
    "extracted": lambda orders: list(orders.annotate(h=ExtractHour("created")).values_list("h", flat=True)),
    "datetimes": lambda orders: list(orders.datetimes("created", "day")),
    "dates": lambda orders: list(orders.dates("created", "month", order="DESC")),
    "values of a transform": lambda orders: list(orders.order_by("pk").values("created__date", "created__hour")),
    "grouped": lambda orders: list(orders.values("created__date").annotate(n=Count("pk")).order_by("created__date")),
    "ordered by a transform": lambda orders: list(orders.order_by("created__hour", "pk").values_list("pk", flat=True)),
    "extremes": lambda orders: orders.aggregate(Min("created"), Max("created"), day=Max(TruncDay("created"))),
    "naive": lambda orders: orders.filter(created__gte=dt.datetime(2024, 3, 10)).count(),
    "naive range": lambda orders: orders.filter(
        created__range=(dt.datetime(2024, 3, 9, 20), dt.datetime(2024, 10, 27, 2, 30))
    ).count(),
    "text": lambda orders: orders.filter(created__lt="2024-03-10 00:00").count(),
    "a date for a moment": lambda orders: orders.filter(created__lt=day(2024, 3, 10)).count(),
    "in a subquery": lambda orders: orders.filter(
        pk__in=orders.filter(created__date=day(2024, 3, 10)).values("pk")
    ).count(),
    "of a relation": lambda orders: orders.filter(customer__orders__created__date=day(2025, 1, 1)).count(),
    "instances": lambda orders: [(order.number, order.created) for order in orders.order_by("pk")],
    "by a moment": lambda orders: orders.get(created=MOMENTS[2]).number,
    "iterator": lambda orders: list(orders.values_list("created", flat=True).iterator()),
    "annotated with now": lambda orders: orders.annotate(n=Now()).filter(created__date__lt=TruncDate("n")).count(),
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("zone", ZONES, ids=str)
@pytest.mark.filterwarnings("ignore:DateTimeField .* received a naive datetime:RuntimeWarning")
def test_reads_in_the_zone_of_the_client(orders, zone, name):
    remote, local = orders
    read = READS[name]
    with timezone.override(zone):
        assert repr_of(read(remote.all())) == repr_of(read(local.all()))


def repr_of(value):
    """Return a text that shows the zones, with UTC always written in one way."""
    return repr(value).replace("zoneinfo.ZoneInfo(key='UTC')", "datetime.timezone.utc")


@pytest.mark.parametrize("name", sorted(READS))
@pytest.mark.filterwarnings("ignore:DateTimeField .* received a naive datetime:RuntimeWarning")
def test_a_default_zone_of_the_client(orders, name):
    """Naive datetimes are read in ``TIME_ZONE`` of the client, and not in the active zone."""
    remote, local = orders
    with override_settings(TIME_ZONE="Asia/Tokyo"):
        assert repr_of(READS[name](remote.all())) == repr_of(READS[name](local.all()))
        with timezone.override(KOLKATA):
            assert repr_of(READS[name](remote.all())) == repr_of(READS[name](local.all()))


@pytest.mark.filterwarnings("ignore:DateTimeField .* received a naive datetime:RuntimeWarning")
def test_writes_of_naive_datetimes(orders, local):
    remote, _ = orders
    naive = dt.datetime(2030, 1, 1, 12)
    customer = local.Customer.objects.using(DATABASE).earliest("pk").pk
    stored = local.Order.objects.using(DATABASE)
    with override_settings(TIME_ZONE="Asia/Tokyo"), timezone.override(KOLKATA):
        expected = timezone.make_aware(naive, zoneinfo.ZoneInfo("Asia/Tokyo"))
        created = remote.create(customer_id=customer, number="N-1", created=naive)
        remote.bulk_create([remote.model(customer_id=customer, number="N-2", created=naive)])
        remote.delayed().create(customer_id=customer, number="N-3", created=naive).compute()
        remote.get_or_create(number="N-4", defaults={"customer_id": customer, "created": naive})
        remote.create(customer_id=customer, number="N-5")
        remote.filter(number="N-5").update(created=naive)
        try:
            written = stored.filter(number__startswith="N-")
            assert list(written.values_list("created", flat=True)) == [expected] * 5
            assert remote.get(number=created.number).created == expected
        finally:
            stored.filter(number__startswith="N-").delete()


def test_delayed_futures_and_batches_are_in_the_zone_of_their_sending(orders):
    remote, local = orders
    count = remote.delayed().filter(created__date=day(2024, 3, 10)).count()
    hours = remote.delayed().order_by("pk").values_list("created__hour", flat=True)
    dependent = django_rpc.delayed(len)(remote.delayed().filter(created__hour=hours[0]))
    with timezone.override(KOLKATA):
        expected = local.filter(created__date=day(2024, 3, 10)).count()
        hour = ExtractHour("created")
        expected_hours = list(local.order_by("pk").annotate(h=hour).values_list("h", flat=True))
        assert [count.compute(), hours.compute()] == [expected, expected_hours]
        future, chained = count.submit(), dependent.submit()
        gathered = connections["rpc"].cursor().gather(count, hours)
        assert remote.map(lambda row: row.created).compute()  # evaluated at the service
    assert future.result() == expected == gathered[0]
    assert gathered[1] == expected_hours
    assert chained.result() == 1
    assert count.compute() == local.filter(created__date=day(2024, 3, 10)).count()


def test_a_queryset_is_read_in_the_zone_of_its_evaluation(orders):
    with timezone.override(KOLKATA):
        pairs = [(rows.filter(created__date=day(2024, 3, 10)), rows.datetimes("created", "day")) for rows in orders]
    found = [(by_date.count(), list(days)) for by_date, days in pairs]
    assert repr_of(found[0]) == repr_of(found[1])


def test_threads_and_tasks_have_their_zones(orders):
    remote, local = orders
    zones = ZONES[:3]
    expected, found = {}, {}

    def read(zone):
        with timezone.override(zone):
            found[str(zone)] = remote.filter(created__date=day(2024, 3, 10)).count()
        connections["rpc"].close()

    async def aread(zone):
        with timezone.override(zone):
            return await remote.filter(created__date=day(2024, 3, 10)).acount()

    async def all_of_them():
        return await asyncio.gather(*map(aread, zones))

    for zone in zones:
        with timezone.override(zone):
            expected[str(zone)] = local.filter(created__date=day(2024, 3, 10)).count()
    threads = [threading.Thread(target=read, args=(zone,)) for zone in zones]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected
    assert asyncio.run(all_of_them()) == list(expected.values())


def test_the_worker_is_back_in_its_zone(orders):
    """Also after an error."""
    remote, _ = orders
    for _ in range(3):
        with timezone.override(KOLKATA), pytest.raises(remote.model.DoesNotExist):
            remote.get(created__date=day(1999, 1, 1))
        assert remote.filter(created__date=day(2024, 3, 10)).count() == 2


def test_a_zone_that_cannot_be_sent(orders):
    class Strange(dt.tzinfo):
        def utcoffset(self, value):
            return None if value is None else dt.timedelta(hours=1)

        def dst(self, value):
            return None

        def tzname(self, value):
            return "Strange"

    with timezone.override(Strange()), pytest.raises(errors.BadRequest, match="neither a name nor an offset"):
        orders[0].count()


def test_a_zone_that_the_service_does_not_know(orders, tmp_path):
    zones = Path(zoneinfo.TZPATH[0]) / "Asia" / "Kolkata"
    with zones.open("rb") as data:
        unknown = zoneinfo.ZoneInfo.from_file(data, key="Mars/Olympus_Mons")
    with timezone.override(unknown), pytest.raises(errors.BadRequest, match="'Mars/Olympus_Mons' is not known"):
        orders[0].count()


# A client without aware datetimes


@override_settings(USE_TZ=False, TIME_ZONE="Europe/Berlin")
def naive_reads(remote):
    return {
        "instance": remote.get(number="Z-0").created,
        "values": remote.filter(number="Z-0").values("created").get(),
        "flat": list(remote.filter(number__in=["Z-0", "Z-5"]).order_by("pk").values_list("created", flat=True)),
        "aggregate": remote.aggregate(Min("created"), Max("created")),
        "truncated": list(remote.filter(number="Z-5").values_list(TruncDay("created"), TruncDate("created"))),
        "datetimes": list(remote.filter(number="Z-5").datetimes("created", "day")),
        "date": remote.filter(created__date=day(2025, 1, 1)).count(),
        "hour": remote.get(created__hour=0).number,
        "lookup": remote.get(created=dt.datetime(2024, 3, 9, 20, 30)).number,
        "text": remote.filter(created__lt="2024-03-09 20:31").count(),
        "delayed": remote.delayed().get(number="Z-0").created.compute(),
        "map": remote.filter(number="Z-0").map(lambda row: row.created).compute(),
        "cast": remote.annotate(c=Cast("created", DateTimeField())).get(number="Z-0").c,
    }


def test_a_client_without_aware_datetimes(orders):
    naive = dt.datetime(2024, 3, 9, 20, 30)
    last = dt.datetime(2025, 1, 1, 0, 59)
    assert naive_reads(orders[0]) == {
        "instance": naive,
        "values": {"created": naive},
        "flat": [naive, last],
        "aggregate": {"created__min": naive, "created__max": last},
        "truncated": [(dt.datetime(2025, 1, 1), day(2025, 1, 1))],
        "datetimes": [dt.datetime(2025, 1, 1)],
        "date": 1,
        "hour": "Z-5",
        "lookup": "Z-0",
        "text": 1,
        "delayed": naive,
        "map": [naive],
        "cast": naive,
    }


def test_writes_of_a_client_without_aware_datetimes(orders, local):
    remote, _ = orders
    stored = local.Order.objects.using(DATABASE)
    customer = stored.get(number="Z-0").customer_id
    naive = dt.datetime(2030, 7, 1, 12)
    try:
        with override_settings(USE_TZ=False, TIME_ZONE="Europe/Berlin"):
            order = remote.create(customer_id=customer, number="W-1", created=naive)
            assert order.created == naive
            order.created = naive + dt.timedelta(hours=1)
            order.save()
            remote.bulk_create([remote.model(customer_id=customer, number="W-2", created=naive)])
            remote.filter(number="W-2").update(created=F("created") + dt.timedelta(hours=2))
            before = dt.datetime.now()
            now = remote.create(customer_id=customer, number="W-3").created
            assert now.tzinfo is None
        written = dict(stored.filter(number__startswith="W-").values_list("number", "created"))
        assert written["W-1"] == dt.datetime(2030, 7, 1, 11, tzinfo=dt.UTC)
        assert written["W-2"] == dt.datetime(2030, 7, 1, 12, tzinfo=dt.UTC)
        assert before is not None
    finally:
        stored.filter(number__startswith="W-").delete()


# A service without aware datetimes


@pytest.fixture
def naive_service(start_zoned, use_service, remote):
    """A worker with tables of local times in its zone."""
    with start_zoned(ZONED_USE_TZ="0", ZONED_TIME_ZONE="America/St_Johns") as service, use_service(service):
        yield remote.Order.objects


@override_settings(TIME_ZONE="Asia/Tokyo")
def test_a_service_without_aware_datetimes(naive_service):
    """Its local times arrive as moments, and moments in a request become its local times."""
    orders = naive_service
    stored = dt.datetime(2024, 3, 9, 19, 30, tzinfo=zoneinfo.ZoneInfo("America/St_Johns"))
    assert orders.get(number="Z-0").created == stored
    assert orders.get(created=stored.astimezone(KOLKATA)).number == "Z-0"
    assert orders.aggregate(Min("created"))["created__min"] == stored
    assert orders.filter(created__date=day(2024, 3, 9)).count() == 1  # days of the service, which has no other zone
    with override_settings(USE_TZ=False):
        local = stored.astimezone(zoneinfo.ZoneInfo("Asia/Tokyo")).replace(tzinfo=None)
        assert orders.get(number="Z-0").created == local
        assert orders.get(created=local).number == "Z-0"


# Languages


def test_texts_of_the_service_are_in_the_language_of_the_client(zoned, use_service, remote):
    texts = {}
    with use_service(zoned):
        create = remote.Order.objects.delayed().create
        for language in ("de", "en", "en-gb", "fr", "pl"):
            with translation.override(language), pytest.raises(ValidationError) as caught:
                create(customer_id=1, number="L-1", created="no date").compute()
            texts[language] = str(caught.value)
        with translation.override(None), pytest.raises(ValidationError) as caught:
            create(customer_id=1, number="L-1", created="no date").compute()
    assert "hat ein ungültiges Format" in texts["de"]
    assert "value has an invalid format" in texts["en"]
    assert texts["en-gb"] == texts["en"] == str(caught.value)
    assert "Le format de la valeur" in texts["fr"]
    assert texts["pl"] == texts["fr"]  # unknown to the service, which uses its language
