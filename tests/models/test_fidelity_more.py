"""More of what Django's own tests found in mirrors: one test for each cause that was cured."""

from __future__ import annotations

import json

import pytest
from django.apps.registry import Apps
from django.core.exceptions import FieldError
from django.db import DataError, IntegrityError, connections, models, router
from django.db.models import Q

from django_rpc.models import RpcModel
from django_rpc.server.evaluate.save import _set

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


def test_a_printed_query_is_sql_and_nothing_is_sent(remote, shop_data, messages, monkeypatch):
    vips = remote.Customer.objects.filter(tier="vip")
    orders = remote.Order.objects.filter(customer__in=vips)
    with messages() as sent:
        text = str(orders.query)
        (sql, params), given = orders.query.sql_with_params(), orders.query.get_compiler(orders.db).as_sql()
    assert text.count("SELECT") == 2
    assert (sql.count("SELECT"), params) == (2, ("vip",))
    assert given[0].count("SELECT") == 2
    assert len(sent) == 0
    for module in ("django.db.models.sql.query", "django_rpc.backend.compiler"):
        monkeypatch.setattr(f"{module}.DEFAULT_DB_ALIAS", "rpc")  # a project without a local database
    assert str(vips.query) == "Customer.objects.filter(tier='vip')"


def test_a_query_object_is_an_argument_as_its_queryset_is(remote, shop_data, messages):
    vips = remote.Customer.objects.filter(tier="vip").values("pk")
    with messages() as sent:
        found = remote.Order.objects.filter(Q(customer__in=vips.query)).count()
    assert found == remote.Order.objects.filter(customer__in=vips).count() > 0
    assert len(sent) == 1


@pytest.mark.parametrize(("method", "known"), [("union", False), ("intersection", True), ("difference", True)])
def test_nothing_is_sent_for_a_combination_that_has_no_rows(remote, shop_data, messages, method, known):
    nothing, tags = remote.Tag.objects.none(), remote.Tag.objects.order_by()
    with messages() as sent:
        assert list(getattr(nothing, method)(nothing)[:5]) == []
    assert len(sent) == 0
    with messages() as sent:
        assert bool(getattr(nothing, method)(tags)) is not known
        assert bool(getattr(tags, method)(tags.filter(pk__in=[]))) is (method != "intersection")
    assert len(sent) == {"union": 2, "intersection": 0, "difference": 1}[method]


def test_the_default_manager_is_the_one_that_django_takes(monkeypatch):
    """A recording copy of an inherited manager came before the model's own."""
    monkeypatch.setattr("django.apps.registry.Apps.register_model", lambda *args: None)

    class Shared(models.Model):
        fred = models.Manager()

        class Meta:
            abstract = True

    class OwnDefault(Shared, RpcModel):
        own = models.Manager()

        class Rpc:
            app_label, name = "shop", "Order"

    class Base(RpcModel):
        objects = models.Manager()

        class Rpc:
            app_label, name = "shop", "Order"

    class InheritsDefault(Base, Shared):
        class Meta:
            proxy = True

    assert OwnDefault._default_manager.name == "own"
    assert OwnDefault.fred.get_queryset().query.node.model == "shop.Order"
    assert InheritsDefault._default_manager.name == "objects"


def test_a_partly_loaded_child_is_saved_again_and_again(local, remote):
    """The answer brought the key of the parent, which Django then named among the fields to update."""
    made = remote.Restaurant.objects.create(name="Da Mario")
    partly = remote.Restaurant.objects.only("rating").get(pk=made.pk)
    for rating in (4.0, 5.0):
        partly.rating = rating
        partly.save()
        assert local.Restaurant.objects.get(pk=made.pk).rating == rating


def test_routers_may_be_asked_for_no_model():
    """A raw query without one does so."""
    assert router.db_for_read(None) == "default"


def test_an_error_names_keys_of_relations_too(remote, shop_data):
    with pytest.raises(FieldError, match=r"Choices are: created, customer, customer_id, "):
        remote.Order.objects.order_by("pk").delayed().filter(nonexistent=1).count().compute()


def test_what_an_encoder_makes_has_to_be_json():
    class Encoder(json.JSONEncoder):
        def encode(self, o):
            return "{nothing"

    with pytest.raises(DataError, match="Encoder makes no JSON of the value"):
        connections["rpc"].ops.adapt_json_value({}, Encoder)


def test_an_image_is_not_read_for_the_dimensions_that_come_with_it():
    """Each save of a client made the service open the file, which may be in the client's storage alone."""

    class Picture(models.Model):
        image = models.ImageField(width_field="width", height_field="height")
        width = models.IntegerField()
        height = models.IntegerField()

        class Meta:
            app_label, apps = "elsewhere", Apps()

    picture, field = Picture(), Picture._meta.get_field("image")
    _set(picture, field, "nowhere.png", {"image": "nowhere.png", "width": 2, "height": 3})
    assert picture.image.name == "nowhere.png"
    with pytest.raises(FileNotFoundError):
        _set(picture, field, "nowhere.png", {"image": "nowhere.png", "width": 2})


def test_changes_of_a_reverse_foreign_key_are_one_message_each(local, remote, shop_data, messages):
    one, other = remote.Customer.objects.order_by("pk")[:2]
    profiles = [remote.Customer(name=f"c{i}", email=f"c{i}@example.org", city="c", joined="2025-01-01") for i in (1, 2)]
    with messages() as sent:
        one.referrals.add(*profiles, bulk=False)
    assert len(sent) == 1
    assert sorted(local.Customer.objects.filter(referred_by=one.pk, name__in=["c1", "c2"]).values_list("pk")) == sorted(
        (profile.pk,) for profile in profiles
    )
    with messages() as sent:
        one.referrals.set([profiles[0], other])
    assert len(sent) == 2  # what is there, and what changes
    assert set(local.Customer.objects.filter(referred_by=one.pk).values_list("pk", flat=True)) == {
        profiles[0].pk,
        other.pk,
    }
    with messages() as sent:
        one.referrals.set([profiles[1]], clear=True)
    assert len(sent) == 1
    assert [row.pk for row in one.referrals.all()] == [profiles[1].pk]


def test_a_failing_change_of_a_reverse_foreign_key_changes_nothing(local, remote, shop_data):
    one, other = remote.Customer.objects.order_by("pk")[:2]
    new = remote.Customer(name="new", email="new@example.org", city="c", joined="2025-01-01")
    taken = remote.Customer(name="taken", email=other.email, city="c", joined="2025-01-01")
    with pytest.raises(IntegrityError):
        one.referrals.add(new, taken, bulk=False)
    assert not local.Customer.objects.filter(name="new").exists()


def test_keys_of_a_relation_need_no_instances(local, remote, shop_data, messages):
    product = remote.Product.objects.first()
    with messages() as sent:
        product.tags.set(["1", 2])
    assert len(sent) == 1
    assert set(local.Product.objects.get(pk=product.pk).tags.values_list("pk", flat=True)) == {1, 2}


def test_what_explain_does_not_know_is_said_in_djangos_words(remote, shop_data):
    with pytest.raises(ValueError, match="Unknown options: TEST, TEST2"):
        remote.Customer.objects.all().explain(TEST=1, TEST2=1)
    with pytest.raises(ValueError, match="DOES NOT EXIST is not a recognized format"):
        remote.Customer.objects.all().explain(format="does not exist")
