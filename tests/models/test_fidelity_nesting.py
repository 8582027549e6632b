"""Differences that Django's tests found where queries, instances and columns are arguments: one test for each cause."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid

import django
import pytest
from django.contrib.auth.models import User
from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import IntegrityError, NotSupportedError, models, transaction
from django.db.models import Count, Exists, F, OuterRef, Subquery, Sum, Value, Window
from django.db.models.functions import Cast, Sqrt
from django.db.models.signals import post_delete, pre_delete
from django.utils.functional import SimpleLazyObject

from django_rpc.graph.values import Expr, freeze

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])

since_5_2 = pytest.mark.skipif(django.VERSION < (5, 2), reason="Django has no tuples of columns before 5.2")


@pytest.fixture
def users(shop_data):
    return [User.objects.create(pk=pk, username=f"user{pk}") for pk in (1, 2, 900)]


def test_remote_query_in_local_query_is_one_message(remote, users, messages):
    with messages() as sent:
        found = User.objects.filter(pk__in=remote.Customer.objects.order_by("name"))
        assert len(sent) == 0
        assert {user.pk for user in found} == {1, 2}
        assert len(sent) == 1
    assert [user.pk for user in User.objects.exclude(pk__in=remote.Customer.objects.values("pk"))] == [900]
    assert User.objects.filter(pk=remote.Customer.objects.order_by("pk").values("pk")[:1]).get().pk == 1


def test_empty_remote_query_in_local_query(remote, users):
    nobody = remote.Customer.objects.filter(name="nobody").values("pk")
    assert not User.objects.filter(pk__in=nobody).exists()
    assert User.objects.exclude(pk__in=nobody).count() == 3  # NOT IN (NULL) would find none


def test_remote_subqueries_in_a_local_query(remote, users):
    named = User.objects.annotate(name=Subquery(remote.Customer.objects.filter(pk=1).values("name")))
    assert {user.name for user in named} == {remote.Customer.objects.get(pk=1).name}
    assert User.objects.filter(Exists(remote.Customer.objects.filter(pk=1))).count() == 3
    assert not User.objects.filter(Exists(remote.Customer.objects.filter(pk=-1))).exists()


def test_query_without_equivalent_values_is_refused(remote, users):
    with pytest.raises(NotSupportedError, match="2 columns"):
        list(User.objects.annotate(n=Subquery(remote.Customer.objects.values("pk", "name"))))
    with pytest.raises(ValueError, match="outer"):
        list(User.objects.filter(Exists(remote.Customer.objects.filter(pk=OuterRef("pk")))))


def test_a_lazy_instance_is_the_instance(remote, shop_data):
    lazy = SimpleLazyObject(lambda: remote.Customer.objects.get(pk=1))
    assert remote.Order.objects.filter(customer=lazy).count() == remote.Order.objects.filter(customer=1).count()


def test_a_wrong_select_related_fails_where_rows_are_selected(remote, shop_data):
    wrong = remote.Customer.objects.select_related("orders")
    assert wrong.count() == remote.Customer.objects.count()
    assert wrong.values_list("pk", flat=True).first() is not None
    for read in (wrong.first, wrong.delayed().first().compute):
        with pytest.raises(FieldError, match="select_related: 'orders'"):
            read()


def test_an_annotation_may_have_the_name_of_a_method(local, remote, shop_data):
    assert callable(local.Customer.display_name)
    named = remote.Customer.objects.annotate(display_name=Value("x"))
    assert named.filter(display_name="x").count() == named.count() > 0
    for name in ("save", "pk"):  # attributes of Django, and no methods
        with pytest.raises(ValueError, match="conflicts"):
            remote.Customer.objects.annotate(**{name: Value(5)}).delayed().first().compute()


def test_a_value_of_aggregate_may_have_any_name(remote, shop_data):
    assert remote.Customer.objects.aggregate(__c=Count("pk"), **{"0__c": Count("pk")}) == {"__c": 40, "0__c": 40}


def test_force_insert_of_parents(local, remote):
    place = local.Place.objects.create(name="p")
    child = remote.Restaurant(place_ptr_id=place.pk, name="q", rating=1)
    for forced in ((remote.Place,), (models.Model,)):
        with pytest.raises(IntegrityError), transaction.atomic():
            child.save(force_insert=forced)
    child.save(force_insert=())
    assert local.Restaurant.objects.get().name == "q"


def test_force_insert_of_a_row_that_is_there(remote, shop_data):
    known = remote.Customer.objects.get(pk=1)
    with pytest.raises(IntegrityError), transaction.atomic():
        known.save(force_insert=True)
    new = remote.Customer(name="n", email="n@example.org", city="c", joined=dt.date(2025, 1, 1))
    for options in ({"force_update": True}, {"update_fields": ["name"]}):
        with pytest.raises(ValueError, match="no primary key"):
            new.save(**options)
    for wrong in (1, "Customer", []):
        with pytest.raises(TypeError, match="bool or tuple"):
            new.save(force_insert=wrong)


def test_an_unsaved_instance_is_no_value_of_an_update(remote, shop_data):
    with pytest.raises(ValueError, match="Unsaved model instance"):
        remote.Order.objects.update(customer=remote.Customer())


@since_5_2
def test_tuples_of_columns_are_compared(local, remote, shop_data):
    from django.db.models.fields import tuple_lookups as tuples

    middle = local.Customer.objects.order_by("city", "name")[20]
    columns, values = (F("city"), F("name")), (middle.city, middle.name)
    kinds = "Exact GreaterThan GreaterThanOrEqual LessThan LessThanOrEqual".split()
    lookups = [getattr(tuples, f"Tuple{kind}")(columns, values) for kind in kinds]
    lookups += [tuples.TupleIn(columns, [values, ("x", "y")]), tuples.TupleIn(columns, [])]
    for lookup in lookups:
        ours, theirs = (m.Customer.objects.filter(lookup).order_by("pk") for m in (remote, local))
        assert [one.pk for one in ours] == [one.pk for one in theirs], lookup
    assert remote.Customer.objects.filter(tuples.TupleLessThanOrEqual(columns, values)).count() == 21


@since_5_2
def test_a_tuple_of_expressions_is_refused(remote):
    from django.db.models.fields.tuple_lookups import TupleExact

    with pytest.raises(TypeError, match="only fields can"):
        remote.Customer.objects.filter(TupleExact((F("pk") + 1, F("name")), (1, "n")))


def test_get_or_create_keeps_related_instances(remote, shop_data, messages):
    order = remote.Order.objects.first()
    customer = order.customer
    found, made = customer.orders.get_or_create(pk=order.pk)
    assert not made
    new, made = remote.Profile.objects.update_or_create(
        customer=remote.Customer.objects.filter(profile=None).first(), defaults={"bio": "b"}
    )
    assert made
    with messages() as sent:
        assert found.customer is customer
        assert new.customer.pk == new.customer_id
    assert len(sent) == 0


def test_a_window_is_no_value_of_a_row(remote):
    window = Window(Sum(F("pk"), order_by=F("pk").asc()))
    with pytest.raises(FieldError, match="Window expressions are not allowed"):
        remote.Tag.objects.create(name=window)


def test_a_condition_on_a_window_with_a_related_row(local, remote, shop_data):
    ours, theirs = (
        m.Order.objects.alias(x=Window(Count("pk"), partition_by="customer"))
        .filter(x__gt=2)
        .select_related("customer")
        .order_by("pk")
        for m in (remote, local)
    )
    assert [(one.pk, one.customer.name) for one in ours] == [(one.pk, one.customer.name) for one in theirs] != []


def test_a_default_of_a_field_that_is_sent_is_not_made_at_the_service(local, remote, monkeypatch):
    made = []

    def key():
        made.append(1)
        return uuid.uuid4()

    field = next(f for f in local.UuidKey._meta.concrete_fields if f.primary_key)
    monkeypatch.setattr(field, "default", key)
    monkeypatch.delitem(field.__dict__, "_get_default", raising=False)
    given = uuid.uuid4()
    assert remote.UuidKey.objects.create(pk=given).pk == given
    assert made == []


def test_fields_of_a_filtered_relation_may_be_deferred(remote, shop_data):
    paid = models.FilteredRelation("profile", condition=models.Q(profile__bio__isnull=False))
    query = remote.Customer.objects.annotate(described=paid).filter(described__isnull=False).select_related("described")
    first = query.defer("described__bio").order_by("pk").first()
    assert first.described.get_deferred_fields() == {"bio"}
    assert first.described.bio == remote.Profile.objects.get(customer=first).bio
    owners = remote.Profile.objects.annotate(owner=models.FilteredRelation("customer", condition=models.Q(pk__gt=0)))
    for hidden in ("owner__secret_note", "owner__nothing"):  # refused in the same way
        with pytest.raises(FieldDoesNotExist, match="Customer has no field named"):
            owners.delayed().defer(hidden).first().compute()


@pytest.fixture
def heard():
    told = []

    def before(sender, instance, origin, **kwargs):
        told.append(("pre", sender.__name__, instance.pk, origin))

    def after(sender, instance, origin, **kwargs):
        told.append(("post", sender.__name__, instance.pk, origin))

    with contextlib.ExitStack() as stack:

        def listen(model):
            for signal, receive in ((pre_delete, before), (post_delete, after)):
                signal.connect(receive, sender=model)
                stack.callback(signal.disconnect, receive, sender=model)
            return told

        yield listen


def test_delete_sends_signals_of_cascaded_rows(remote, shop_data, heard, messages):
    order = remote.Order.objects.filter(lines__isnull=False).first()
    lines = sorted(order.lines.values_list("pk", flat=True))
    told = heard(remote.Line)
    with messages() as sent:
        order.delete()
    assert len(sent) <= 2  # the lines, and no further request of Django
    before, after = ([key for when, name, key, origin in told if when == kind] for kind in ("pre", "post"))
    assert (before, after) == (lines, lines[::-1])
    assert all(origin is order for *_, origin in told)
    assert not remote.Line.objects.filter(pk__in=lines).exists()


def test_no_receivers_no_additional_query(remote, shop_data, messages):
    with messages() as sent:
        remote.Order.objects.first().delete()
    assert len(sent) == 2  # the read and the deletion


def test_queryset_delete_sends_signals_of_cascaded_rows(remote, shop_data, heard):
    told = heard(remote.Line)
    orders = remote.Order.objects.filter(pk__lte=3)
    lines = sorted(remote.Line.objects.filter(order__in=orders).values_list("pk", flat=True))
    orders.delete()
    assert [key for when, _, key, _ in told if when == "pre"] == lines != []
    assert len(told) == 2 * len(lines)


@pytest.mark.parametrize("put", [F("b") + 1, Cast("b", models.FloatField()), F("b"), Value(2)], ids=repr)
def test_replaced_attribute_is_sent(put):
    """Django's constraints query with the values of an instance, and with the sources of generated fields."""
    assert freeze(Sqrt("a").replace_expressions({F("a"): put})) == Expr("Sqrt", (freeze(put),))
