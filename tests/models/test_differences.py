"""Differences from Django that the fuzz of `tests.semantics` found: one test for each cause."""

from __future__ import annotations

import datetime

import pytest
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, transaction
from django.db.models import Max, Min, Prefetch, Q, QuerySet, Subquery
from django.db.models.functions import Upper
from django.test import override_settings

import django_rpc
from django_rpc.models.errors import build
from django_rpc.models.instances import MirrorResults
from django_rpc.wire.messages import ErrorReport

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


@pytest.fixture
def currencies(db, local):
    for code in ("EUR", "NOK"):
        local.Currency.objects.create(code=code, name=code)


@pytest.mark.parametrize("method", ["get_or_create", "update_or_create"])
def test_the_value_of_a_column_precedes_the_instance_of_its_relation(local, remote, currencies, method):
    for models in (local, remote):
        nok = models.Currency.objects.get(code="NOK")
        price, created = getattr(nok.prices, method)(currency_id="EUR", amount=7)
        assert (price.currency_id, price.currency.code, created) == ("EUR", "EUR", True)
    assert list(local.Price.objects.values_list("currency_id", flat=True)) == ["EUR", "EUR"]


def test_a_relation_and_its_column_are_both_looked_up(local, remote, currencies):
    local.Price.objects.create(currency_id="EUR", amount=7)
    for number, models in enumerate((local, remote), 2):
        nok = models.Currency.objects.get(code="NOK")
        price, created = models.Price.objects.get_or_create(currency=nok, currency_id="EUR", amount=7)
        assert (price.currency_id, created, local.Price.objects.count()) == ("EUR", True, number)


def test_the_value_of_a_column_precedes_its_relation_in_defaults(local, remote, currencies):
    for amount, models in ((1, local), (2, remote)):
        nok = models.Currency.objects.get(code="NOK")
        defaults = {"currency_id": "EUR", "currency": nok}
        price, created = models.Price.objects.get_or_create(amount=amount, defaults=defaults)
        assert (price.currency_id, price.currency.code, created) == ("EUR", "EUR", True)


@pytest.mark.parametrize(
    ("lookup", "defaults", "key"),
    [
        ({"pk": 77}, {"code": "k6", "title": "new"}, "77"),
        ({"code": "k12"}, {"code": "k11", "title": "new"}, "k11"),
        ({"code": "k12"}, {"pk": "k11", "title": "new"}, "k11"),
        ({"title": "new"}, {"code": "k5"}, "k5"),
    ],
)
def test_the_key_of_a_new_row_may_be_among_the_defaults(local, remote, lookup, defaults, key):
    for models in (local, remote):
        made, created = models.NaturalKey.objects.update_or_create(**lookup, defaults=defaults)
        assert (str(made.pk), made.title, created) == (key, "new", True)
        same, created = models.NaturalKey.objects.update_or_create(pk=key, defaults={"code": key, "title": "old"})
        assert (same.pk, same.title, created) == (key, "old", False)
        assert local.NaturalKey.objects.count() == 1
        local.NaturalKey.objects.all().delete()


def test_the_key_of_an_existing_row_is_not_changed_by_defaults(local, remote):
    local.NaturalKey.objects.create(code="x", title="old")
    for defaults in ({"code": "y"}, {"pk": "y", "title": "new"}):
        with pytest.raises(PermissionDenied, match="cannot be changed"):
            remote.NaturalKey.objects.update_or_create(title="old", defaults=defaults)
    assert list(local.NaturalKey.objects.values_list("code", "title")) == [("x", "old")]


AWARE = datetime.datetime(2024, 3, 9, 23, 30, tzinfo=datetime.UTC)
UNSUPPORTED = "does not support timezone-aware datetimes when USE_TZ is False"


@override_settings(USE_TZ=False, TIME_ZONE="Europe/Berlin")
@pytest.mark.parametrize(
    "use",
    [
        lambda m: m.Order.objects.filter(created=AWARE),
        lambda m: m.Order.objects.filter(created__gte=AWARE).count(),
        lambda m: m.Order.objects.exclude(Q(number="x") | Q(created__in=[AWARE])).exists(),
        lambda m: m.Customer.objects.filter(orders__created__range=(AWARE, AWARE)).first(),
        lambda m: m.Order.objects.get_or_create(created=AWARE, number="A", customer_id=1),
        lambda m: m.Order.objects.create(created=AWARE, number="A", customer_id=1),
        lambda m: m.Order.objects.bulk_create([m.Order(created=AWARE, number="A", customer_id=1)]),
        lambda m: m.Order.objects.update(created=AWARE),
        lambda m: m.Order.objects.get_or_create(number="A", customer_id=1, defaults={"created": AWARE}),
    ],
)
def test_a_client_without_time_zones_refuses_aware_datetimes(local, remote, shop_data, messages, use):
    """Django's backend of SQLite does so in `adapt_datetimefield_value`, when the query is executed."""
    for models in (local, remote):
        with messages() as sent, pytest.raises(ValueError, match=UNSUPPORTED):
            list(use(models))
        assert len(sent) == 0


@override_settings(USE_TZ=False, TIME_ZONE="Europe/Berlin")
def test_a_client_without_time_zones_takes_the_date_of_an_aware_datetime(local, remote, shop_data):
    day = AWARE.date()
    local.Customer.objects.filter(pk=1).update(joined=day)
    for models in (local, remote):
        customers = models.Customer.objects
        assert customers.filter(joined=AWARE, pk=1).exists()
        assert customers.filter(joined__gt=AWARE, pk=1).count() == 0
        assert customers.filter(joined__in=[AWARE], pk=1).count() == 1
        assert models.Order.objects.filter(customer__joined__lte=AWARE, customer=1).exists()
        customers.filter(pk=2).update(joined=AWARE)
        assert customers.get(pk=2).joined == day


@override_settings(USE_TZ=False, TIME_ZONE="Europe/Berlin")
@pytest.mark.parametrize(
    "lookup", ["created__date", "created__date__gte", "created__date__in", "customer__orders__created__date"]
)
def test_a_client_without_time_zones_compares_dates_with_the_date_of_an_aware_datetime(
    local, remote, shop_data, lookup
):
    local.Order.objects.filter(pk=local.Order.objects.first().pk).update(created=AWARE.replace(tzinfo=None))
    answers = [
        list(models.Order.objects.filter(**{lookup: [AWARE] if lookup.endswith("in") else AWARE}).values_list("pk"))
        for models in (local, remote)
    ]
    assert answers[0]
    assert answers[0] == answers[1]


NAMED = {
    "aggregate": lambda rows: rows.values_list("name", "code", named=True).annotate(lowest=Min("code")),
    "two": lambda rows: rows.values_list("name", named=True).annotate(a=Min("code"), b=Max("prices__amount")),
    "expression": lambda rows: rows.values_list("code", named=True).annotate(upper=Upper("name")),
}


@pytest.mark.parametrize("name", NAMED)
def test_annotate_after_named_rows_adds_values_without_names(local, remote, currencies, name):
    """Django makes a named tuple with more values than names."""
    results = []
    queries = [models.Currency.objects.order_by("pk") for models in (local, remote)]
    delayed = NAMED[name](remote.Currency.objects.delayed().order_by("pk"))
    for rows in (*[list(NAMED[name](query)) for query in queries], delayed.compute(), delayed.submit().result()):
        results.append([(tuple(row), row._fields, len(row) - len(row._fields)) for row in rows])
    assert results[0] == results[1] == results[2] == results[3]
    assert results[0][0][2] > 0


PROFILES = {
    "one": lambda m: m.Customer.objects.delayed().get(pk=1).profile.compute(),
    "field": lambda m: m.Customer.objects.delayed().order_by("pk").map(lambda row: row.profile.bio).compute(),
    "row": lambda m: m.Customer.objects.delayed().filter(pk=1).map(lambda row: row.profile).compute(),
    "joined": lambda m: m.Customer.objects.delayed().select_related("profile").get(pk=1).profile.bio.compute(),
    "nested": lambda m: (
        m.Order.objects.delayed().filter(customer=1).map(lambda row: row.customer.profile.bio).compute()
    ),
}


@pytest.mark.parametrize("name", PROFILES)
def test_missing_one_to_one_row_raises_error_of_django(local, remote, shop_data, name):
    local.Profile.objects.all().delete()
    local.Order.objects.filter(pk=1).update(customer=1)
    with pytest.raises(local.Customer.profile.RelatedObjectDoesNotExist, match="Customer has no profile"):
        local.Customer.objects.get(pk=1).profile  # noqa: B018
    with pytest.raises(remote.Profile.DoesNotExist, match="Customer has no profile") as raised:
        PROFILES[name](remote)
    assert type(raised.value) is remote.Customer.profile.RelatedObjectDoesNotExist
    errors = remote.Customer.objects.delayed().map(lambda row: row.profile.bio, return_exceptions=True).compute()
    assert {type(error) for error in errors} == {remote.Customer.profile.RelatedObjectDoesNotExist}


@pytest.mark.parametrize(
    "data",
    [
        5,
        {"model": 5, "relation": "profile"},
        {"model": "shop.Customer", "relation": ["profile"]},
        {"model": "shop.Customer", "relation": "__class__"},
        {"model": "shop.Customer", "relation": "orders"},
        {"model": "shop.Nothing", "relation": "profile"},
        {"model": "zoo.Place", "relation": "restaurant"},
    ],
)
def test_a_report_of_a_relation_is_not_trusted(remote, data):
    report = ErrorReport(code="DoesNotExist", message="m", model="shop.Profile", data=data)
    assert type(build(MirrorResults("rpc"), report, None)) is remote.Profile.DoesNotExist


def test_a_deleted_child_keeps_the_key_of_its_parent(local, remote):
    """Django's delete() sets the key of the child to None, and save(update_fields=...) uses that of the parent."""
    for models in (local, remote):
        place = models.Restaurant.objects.create(name="R")
        place.delete()
        assert (place.pk, place.id is None) == (None, False)
        with pytest.raises(DatabaseError, match="did not affect any rows"), transaction.atomic():
            place.save(update_fields=["serves_pizza"])
        assert local.Restaurant.objects.count() == 0


@pytest.mark.parametrize("options", [{"update_fields": ["title"]}, {"force_update": True}])
def test_a_key_that_django_fills_is_no_missing_key(local, remote, options):
    """The key of a deleted row is None, and Django's save() makes it the empty text, the default of a text field."""
    for models in (local, remote):
        row = models.NaturalKey.objects.create(code="x", title="T")
        row.delete()
        row.title = "new"
        with pytest.raises(DatabaseError, match="did not affect any rows"), transaction.atomic():
            row.save(**options)
    local.NaturalKey.objects.create(code="", title="T")
    for title, models in (("local", local), ("remote", remote)):
        models.NaturalKey(code=None, title=title).save(**options)
        assert [(row.pk, row.title) for row in local.NaturalKey.objects.all()] == [("", title)]


JOINED = {
    "all after one": lambda m, q: q(m.NoteOnKey).select_related("by_code").select_related(),
    "one after all": lambda m, q: q(m.Order).select_related().select_related("customer__referred_by"),
    "one after all of none": lambda m, q: q(m.NoteOnKey).select_related().select_related("by_code"),
    "none after all": lambda m, q: q(m.Order).select_related().select_related(None),
    "all after only": lambda m, q: q(m.Order).only("number").select_related(),
    "all before only": lambda m, q: q(m.Order).select_related().only("number"),
    "a column of the relation": lambda m, q: q(m.Order).select_related().only("number", "customer__name"),
    "all without the relation": lambda m, q: q(m.Order).defer("customer").select_related(),
    "deeper": lambda m, q: q(m.Line).select_related().only("quantity"),
    "deeper without one": lambda m, q: q(m.Line).select_related().defer("order__customer"),
}


@pytest.mark.parametrize("name", JOINED)
def test_relations_without_names_are_joined_as_in_django(local, remote, shop_data, name):
    """Django's select_related() replaces earlier names, is replaced by later names, and joins deferred relations."""
    key = local.NaturalKey.objects.create(code="x", title="X")
    local.NoteOnKey.objects.create(text="t", by_code=key)

    def loaded(row):
        names = {field.attname for field in row._meta.concrete_fields} - row.get_deferred_fields() - {"secret_note"}
        return names, {name: value and loaded(value) for name, value in row._state.fields_cache.items()}

    row = JOINED[name](local, lambda model: model.objects.all()).get(pk=1)
    mirrored = JOINED[name](remote, lambda model: model.objects.all()).get(pk=1)
    delayed = JOINED[name](remote, lambda model: model.objects.delayed()).get(pk=1).compute()
    assert loaded(row) == loaded(mirrored) == loaded(delayed)


def test_a_parent_is_made_of_its_child_after_a_save(local, remote):
    """Django's save() of a child forgets the cached parent, which has the values of before."""
    for models in (local, remote):
        child = models.Restaurant.objects.create(name="child")
        child.place_ptr = models.Place.objects.create(name="parent")
        child.save()
        assert (child.place_ptr.pk, child.place_ptr.name) == (child.pk, "child")
        assert local.Place.objects.get(pk=child.pk).name == "child"


def test_a_save_keeps_values_that_it_does_not_save(local, remote, shop_data):
    """A subquery of the same model is no reason to load the other fields of the saved instance."""
    for models in (local, remote):
        line = models.Line.objects.get(pk=1)
        line.price = 77
        line.quantity = Subquery(models.Line.objects.order_by("-pk").values("quantity")[:1])
        line.save(update_fields=["quantity"])
        assert line.price == 77
        line = models.Line.objects.only("quantity").get(pk=1)
        line.quantity = Subquery(models.Line.objects.order_by("-pk").values("quantity")[:1])
        line.save()
        assert line.get_deferred_fields() == {"order_id", "product_id", "price"}
        line = models.Line(pk=1, price=77, quantity=5)
        line.save(update_fields=["quantity"])
        assert (line.price, line.order_id) == (77, None)


def test_a_save_in_a_block_keeps_values_that_it_does_not_save(remote, shop_data):
    line = remote.Line.objects.get(pk=1)
    with django_rpc.atomic("rpc"):
        line.price = 77
        line.quantity = 3
        line.save(update_fields=["quantity"])
        remote.Line.objects.filter(pk=2).update(price=5)
    assert line.price == 77


PREFETCHED = {
    "rows": lambda m, row: row.orders.order_by("pk").values_list("pk", flat=True),
    "all": lambda m, row: row.orders.all().order_by("pk").values_list("pk", flat=True),
    "filter": lambda m, row: row.orders.filter(pk__gt=1).order_by("pk").values_list("pk", flat=True),
    "count": lambda m, row: row.orders.count(),
    "exists": lambda m, row: row.orders.filter(status="paid").exists(),
    "aggregate": lambda m, row: row.orders.aggregate(most=Max("total"))["most"],
    "other relation": lambda m, row: row.referrals.count(),
}


@pytest.mark.parametrize("name", PREFETCHED)
def test_a_relation_that_was_prefetched_by_a_query_has_its_rows(local, remote, shop_data, name):
    """Django's manager of the relation keeps the query of a Prefetch without to_attr."""

    def customers(models, manager):
        orders = models.Order.objects.exclude(status="new")
        return manager.prefetch_related(Prefetch("orders", orders)).order_by("pk")

    def plain(value):
        return list(value) if isinstance(value, QuerySet) else value

    expected = [plain(PREFETCHED[name](local, row)) for row in customers(local, local.Customer.objects)]
    rows = customers(remote, remote.Customer.objects.delayed())
    assert rows.map(lambda row: PREFETCHED[name](remote, row)).compute() == expected
    assert plain(PREFETCHED[name](remote, rows[0]).compute()) == expected[0]
    with_names = rows.map(lambda row: (row.name, PREFETCHED[name](remote, row))).compute()
    assert [value for _, value in with_names] == expected
    chosen = [PREFETCHED[name](remote, row).compute() for row in (rows.first(), rows.get(pk=1))]
    assert [plain(value) for value in chosen] == [expected[0]] * 2


CAME_WITH = {
    "one-to-one, joined": lambda q: (q("Customer").select_related("profile"), "profile"),
    "one-to-one, prefetched": lambda q: (q("Customer").prefetch_related("profile"), "profile"),
    "two levels": lambda q: (q("Order").select_related("customer__referred_by"), "customer"),
}


@pytest.mark.parametrize("name", CAME_WITH)
def test_related_row_keeps_loaded_relations(local, remote, shop_data, name):
    """It is a separate value, with its parent and with the joined or prefetched rows."""

    def cached(row):
        return sorted(row._state.fields_cache)

    local.Profile.objects.get_or_create(customer_id=1)
    rows, relation = CAME_WITH[name](lambda model: getattr(local, model).objects)
    expected = cached(getattr(rows.get(pk=1), relation))
    delayed, relation = CAME_WITH[name](lambda model: getattr(remote, model).objects.delayed())
    assert cached(getattr(delayed.get(pk=1), relation).compute()) == expected != []
    assert cached(delayed.filter(pk=1).map(lambda row: getattr(row, relation)).compute()[0]) == expected
