"""Differences that Django's tests found in the queries of mirrors: one test for each corrected cause."""

from __future__ import annotations

import datetime as dt

import pytest
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Count, F, ProtectedError, Q, Sum, Value, Window
from django.db.models.expressions import RowRange
from django.db.models.functions import Coalesce, Lower
from django.test import override_settings

from django_rpc.backend.compiler import _flat, column_names
from django_rpc.graph.values import freeze
from django_rpc.models import RpcModel
from django_rpc.models.errors import build
from django_rpc.models.instances import MirrorResults
from django_rpc.server.errors.reports import report

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


@pytest.fixture
def unregistered(monkeypatch):
    monkeypatch.setattr("django.apps.registry.Apps.register_model", lambda *args: None)


def test_integer_out_of_range_is_not_queried(remote, shop_data, messages):
    with messages() as sent:
        assert not remote.Order.objects.filter(pk=2**63).exists()
        assert list(remote.Order.objects.filter(pk__gt=2**70)) == []
        assert list(remote.Order.objects.filter(pk__lt=-(2**63) - 1)) == []
    assert len(sent) == 0
    assert remote.Order.objects.filter(pk__lt=2**70).count() == remote.Order.objects.count() > 0


def test_empty_queryset_delete_and_count_send_nothing(remote, messages):
    nothing = remote.Order.objects.filter(pk__in=[])
    with messages() as sent:
        assert nothing.delete() == (0, {})
        assert nothing.aggregate(n=Count("pk"), s=Sum("total"), c=Coalesce(Sum("total"), 7)) == {
            "n": 0, "s": None, "c": 7
        }  # fmt: skip
    assert len(sent) == 0


def test_delete_keeps_the_parents_and_names_through_models_as_the_client_does(local, remote):
    restaurant = remote.Restaurant.objects.create(name="r")
    restaurant.delete(keep_parents=True)
    assert local.Place.objects.filter(name="r").exists()
    one, two = (remote.Person.objects.create(name=name) for name in "ab")
    one.friends.add(two)
    label = remote.Person.friends.through._meta.label
    assert one.delete() == (3, {remote.Person._meta.label: 1, label: 2})


@override_settings(DJANGO_RPC={"SHOW_TRACEBACK": True})
def test_trusting_service_names_protecting_rows(local, remote):
    seat = local.Seat.objects.create(row="a", number=1)
    local.Booking.objects.create(seat=seat, day=dt.date(2025, 1, 1), name="b")
    with pytest.raises(ProtectedError, match="Cannot delete some instances of model 'Seat'"):
        remote.Seat.objects.get(pk=seat.pk).delete()


def test_a_broken_transaction_of_the_service_keeps_its_class():
    error = report(transaction.TransactionManagementError("broken"))
    assert isinstance(build(MirrorResults("rpc"), error, None), transaction.TransactionManagementError)


def test_constraints_of_mirrors_are_validated_at_the_service(remote, shop_data, unregistered):
    class Buyer(RpcModel):
        class Rpc:
            app_label = "shop"
            name = "Customer"

        class Meta:
            app_label = "shop_client"
            constraints = [
                models.UniqueConstraint(Lower("email"), name="by_email"),
                models.UniqueConstraint(fields=["city"], condition=Q(tier="gold"), name="by_city"),
            ]

        email = models.EmailField()
        city = models.CharField(max_length=60)
        tier = models.CharField(max_length=10)

    by_email, by_city = Buyer._meta.constraints
    known = Buyer.objects.get(pk=1)
    for using in ("rpc", "default"):
        by_email.validate(Buyer, known, using=using)
        by_city.validate(Buyer, known, using=using)
        by_city.validate(Buyer, Buyer(city=known.city, tier="gold"), using=using)
        with pytest.raises(ValidationError):
            by_email.validate(Buyer, Buyer(email=known.email.upper()), using=using)
    Buyer.objects.filter(pk=1).update(tier="gold")
    for using in ("rpc", "default"):
        with pytest.raises(ValidationError):
            by_city.validate(Buyer, Buyer(city=known.city, tier="gold"), using=using)


def test_expressions_are_sent_as_they_are_now():
    replaced = Lower("email").replace_expressions({F("email"): Value("A@B")})
    assert freeze(replaced) == freeze(Lower(Value("A@B")))
    total = (F("a") + F("b")).replace_expressions({F("b"): Value(2)})
    assert freeze(total).args[2].args == (2,)
    default = Coalesce("a", "b", Value(1)).replace_expressions({F("b"): F("c")})
    assert [item.args[0] for item in freeze(default).args if not isinstance(item, str)] == ["c", 1]


def test_ordering_columns_are_not_returned(remote, shop_data):
    rows = remote.Customer.objects.annotate(other=F("id"))
    both = rows.filter(pk=1).union(rows.filter(pk=2)).order_by("-other").values_list("pk", flat=True)
    assert list(both) == [2, 1]


@pytest.mark.skipif(not hasattr(models.expressions, "WindowFrameExclusion"), reason="since Django 5.1")
def test_frames_exclude(remote, shop_data):
    exclusion = models.expressions.WindowFrameExclusion.CURRENT_ROW
    frame = RowRange(exclusion=exclusion)
    sums = Window(Sum("pk"), order_by="pk", frame=frame)
    keys = list(remote.Order.objects.order_by("pk").values_list("pk", flat=True))
    assert [row.s for row in remote.Order.objects.annotate(s=sums).order_by("pk")] == [sum(keys) - k for k in keys]


def test_names_of_options_of_explain_are_checked_here(remote):
    with pytest.raises(ValueError, match="Invalid option name: 'a--b'"):
        remote.Order.objects.explain(**{"a--b": 1})


@pytest.mark.skipif(not hasattr(models, "CompositePrimaryKey"), reason="since Django 5.2")
def test_composite_key_identity(unregistered):
    class Cell(RpcModel):
        class Meta:
            app_label = "shop_client"

        pk = models.CompositePrimaryKey("row", "column")
        row = models.IntegerField()
        column = models.IntegerField()

    assert freeze(Cell(row=1, column=2)).key == (1, 2)
    with pytest.raises(ValueError, match="must be saved"):
        freeze(Cell(row=1))
    with pytest.raises(ValueError, match="can't be deleted"):
        Cell(row=1).delete()
    compiled = Cell.objects.values_list("row", "pk").query.get_compiler("rpc")
    compiled.setup_query()
    assert column_names(compiled) == ("row", "pk")
    assert _flat(compiled, [(1, (1, 2))]) == [(1, 1, 2)]


@pytest.mark.skipif(not hasattr(models.expressions, "Sliced"), reason="since Django 5.1")
def test_slices_of_columns(remote, shop_data):
    name = remote.Customer.objects.get(pk=1).name
    sliced = remote.Customer.objects.filter(pk=1).annotate(a=F("name")[:3], b=F("name")[2:], c=F("name")[1])
    assert sliced.values_list("a", "b", "c").get() == (name[:3], name[2:], name[1])


def test_buffers_are_bytes():
    assert freeze(memoryview(b"ab")) == freeze(bytearray(b"ab")) == b"ab"


def test_create_refuses_a_reverse_relation(remote):
    with pytest.raises(ValueError, match="do not exist in this model: profile"):
        remote.Customer.objects.create(name="n", profile=remote.Profile())


def test_inserted_object_must_be_a_model(remote):
    with pytest.raises(TypeError, match="force_insert"):
        remote.Customer(name="n").save(force_insert=("Customer",))


def test_a_filtered_relation_of_a_filtered_relation(remote, shop_data):
    nested = remote.Customer.objects.annotate(
        paid=models.FilteredRelation("orders", condition=Q(orders__status="paid")),
        big=models.FilteredRelation("paid__lines", condition=Q(paid__lines__quantity__gt=1)),
    ).filter(big__isnull=False)
    plain = remote.Customer.objects.filter(orders__status="paid", orders__lines__quantity__gt=1)
    assert set(nested) == set(plain) != set()


def test_the_childs_part_of_a_row_is_inserted_alone(local, remote):
    place = remote.Place.objects.create(name="p")
    child = remote.Restaurant(place_ptr_id=place.pk, rating=3)
    models.Model.save_base(child, raw=True, force_insert=True)  # as the deserializers do
    assert local.Restaurant.objects.get(pk=place.pk).name == "p"


def test_custom_save_of_service_keeps_its_arguments(local, remote, monkeypatch):
    save = local.Currency.save
    made = remote.Currency.objects.create(code="ZZZ", name="z")
    monkeypatch.setattr(local.Currency, "save", lambda self: save(self))
    monkeypatch.setattr(local.Currency, "delete", lambda self: None)
    made.name = "y"
    made.save()
    assert local.Currency.objects.get(code="ZZZ").name == "y"
    assert made.delete() == (0, {})
