"""Soft deletion at a service with ``STRICT=False``: mirrors use the base manager where Django's models do."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied
from django.db.models import F, Manager

import django_rpc
from django_rpc.server import ModelRpc, site
from tests.server.conftest import settings_of_server, unregistered  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


@pytest.fixture
def people(shop_data, local, remote, unregistered, settings_of_server, monkeypatch):  # noqa: F811
    """Customers with a default manager that excludes inactive rows; the model is not registered."""
    settings_of_server(STRICT=False)
    unregistered(local.Customer)
    unregistered(local.Order)
    kind = type(local.Customer._default_manager)
    monkeypatch.setattr(kind, "get_queryset", lambda self: Manager.get_queryset(self).filter(active=True))
    monkeypatch.setattr(site, "_open", {})
    local.Customer._base_manager.update(active=True)
    local.Customer._base_manager.filter(pk__lte=3).update(active=False)
    return remote.Customer


def rows(local):
    return local.Customer._base_manager


def test_queries_start_with_the_default_manager(people, local):
    number = local.Customer._base_manager.filter(active=True).count()
    assert people.objects.count() == number == rows(local).count() - 3
    assert not people.objects.filter(pk=1).exists()
    assert list(people.objects.filter(pk__lte=4).values_list("pk", flat=True)) == [4]
    assert django_rpc.compute(*[people.objects.delayed().filter(pk=pk).count() for pk in (1, 2, 4)]) == (0, 0, 1)
    with pytest.raises(people.DoesNotExist):
        people.objects.get(pk=1)


def test_an_instance_is_deleted_softly_and_restored(people, local):
    person = people.objects.get(pk=5)
    person.active = False
    person.save()
    assert not rows(local).get(pk=5).active
    person.refresh_from_db()
    assert not person.active
    person.name = "Hidden"
    person.save(update_fields=["name"])
    person.credit = F("credit") + 1
    person.save()
    assert rows(local).get(pk=5).name == "Hidden"
    person.refresh_from_db()
    person.active = True
    person.save()
    assert people.objects.get(pk=5).name == "Hidden"


def test_new_rows_outside_the_default_manager(people, local):
    values = {"city": "Oslo", "joined": "2025-01-01", "active": False, "name": "n"}
    made = people.objects.create(email="a@example.org", **values)
    assert rows(local).filter(pk=made.pk, active=False).exists()
    people(email="b@example.org", **values).save()
    people.objects.bulk_create([people(email="c@example.org", **values)])
    people.objects.update_or_create(email="d@example.org", defaults=values)
    assert rows(local).filter(name="n").count() == 4
    assert people.objects.filter(pk__in=[6, 7]).update(active=False) == 2
    assert people.objects.filter(pk__in=[6, 7]).update(active=True) == 0
    people.objects.bulk_update([people(pk=8, active=False)], ["active"])
    assert not rows(local).get(pk=8).active


def test_an_instance_outside_the_default_manager_is_deleted(people, local):
    person = people.objects.get(pk=9)
    rows(local).filter(pk=9).update(active=False)
    local.Order.objects.filter(customer=9).delete()
    number, _ = person.delete()
    assert number >= 1
    assert not rows(local).filter(pk=9).exists()


def test_related_rows(people, local, remote, messages):
    """A foreign key leads to the row by the base manager; a reverse relation starts with the default manager."""
    order = local.Order.objects.first()
    local.Order.objects.filter(pk=order.pk).update(customer=1)
    name = rows(local).get(pk=1).name
    orders = remote.Order.objects
    assert orders.get(pk=order.pk).customer.name == name
    assert orders.select_related("customer").get(pk=order.pk).customer.name == name
    assert orders.prefetch_related("customer").get(pk=order.pk).customer.name == name
    assert orders.filter(customer__name=name, pk=order.pk).exists()
    assert orders.delayed().get(pk=order.pk).customer.name.compute() == name
    assert name in orders.delayed().map(lambda row: row.customer.name).compute()
    rows(local).filter(pk__in=[1, 10]).update(referred_by=11)
    referrer = people.objects.get(pk=11)
    referrals = referrer.referrals.filter(pk__in=[1, 10])
    assert [person.pk for person in referrals] == [10]
    loaded = people.objects.prefetch_related("referrals").get(pk=11)
    assert 1 not in [person.pk for person in loaded.referrals.all()]
    remote.Order(customer_id=1, number="N-1").save()
    assert local.Order.objects.filter(customer=1, number="N-1").exists()


def test_a_registered_scope_holds(people, local):
    """``get_queryset`` of a ModelRpc limits every row, with ``STRICT=False`` too."""

    class ScopedRpc(ModelRpc):
        fields = "__all__"
        operations = ("read", "create", "update", "delete")

        def get_queryset(self, request):
            return super().get_queryset(request)

    person = people.objects.get(pk=12)
    site.register(local.Customer, ScopedRpc)
    try:
        person.active = False
        with pytest.raises(PermissionDenied):
            person.save()
        rows(local).filter(pk=12).update(active=False)
        with pytest.raises(people.DoesNotExist):
            person.refresh_from_db()
    finally:
        site.unregister(local.Customer)
