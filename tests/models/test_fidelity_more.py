"""Differences from Django that the tests of Django found in mirrors: one test for each cause."""

from __future__ import annotations

import json
import uuid

import pytest
from django.apps.registry import Apps
from django.core.exceptions import FieldError
from django.db import DataError, IntegrityError, connections, models, router, transaction
from django.db.models import Q

from django_rpc.models import RpcModel
from django_rpc.server.evaluate.save import _set, has_default_key

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


def test_default_manager_is_that_of_django(monkeypatch):
    """A recording copy of an inherited manager preceded the manager of the model."""
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
    """The answer contained the key of the parent, which Django then named among the fields to update."""
    made = remote.Restaurant.objects.create(name="Da Mario")
    partly = remote.Restaurant.objects.only("rating").get(pk=made.pk)
    for rating in (4.0, 5.0):
        partly.rating = rating
        partly.save()
        assert local.Restaurant.objects.get(pk=made.pk).rating == rating


def test_router_without_model():
    """A raw query without one does so."""
    assert router.db_for_read(None) == "default"


def test_an_error_names_keys_of_relations_too(remote, shop_data):
    with pytest.raises(FieldError, match=r"Choices are: created, customer, customer_id, "):
        remote.Order.objects.order_by("pk").delayed().filter(nonexistent=1).count().compute()


def test_json_encoder_output_must_be_json():
    class Encoder(json.JSONEncoder):
        def encode(self, o):
            return "{nothing"

    with pytest.raises(DataError, match="Encoder makes no JSON of the value"):
        connections["rpc"].ops.adapt_json_value({}, Encoder)


def test_image_dimensions_are_not_read_again():
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


def test_reverse_foreign_key_changes_are_one_message_each(local, remote, shop_data, messages):
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
    assert len(sent) == 1
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


def test_unknown_explain_option_has_error_of_django(remote, shop_data):
    with pytest.raises(ValueError, match="Unknown options: TEST, TEST2"):
        remote.Customer.objects.all().explain(TEST=1, TEST2=1)
    with pytest.raises(ValueError, match="DOES NOT EXIST is not a recognized format"):
        remote.Customer.objects.all().explain(format="does not exist")


def _same_texts(side, key):
    """Return the results of queries and writes with an instance in the place of a text."""
    side.NoteOnKey.objects.create(text=key)
    side.NoteOnKey.objects.bulk_create([side.NoteOnKey(text=key, by_code=key)])
    keys, notes = side.NaturalKey.objects, side.NoteOnKey.objects
    return [
        list(query.values_list(name, flat=True))
        for name, query in (
            ("code", keys.filter(code=key)),
            ("code", keys.filter(code__in=[key, "def"]).order_by("code")),
            ("code", keys.filter(pk__in={key})),
            ("code", keys.filter(code__istartswith=key)),
            ("code", keys.exclude(~Q(title="x") | Q(code=key))),
            ("title", keys.filter(pk=keys.get(pk=key))),
            ("text", notes.filter(by_code__code=key, by_code=key)),
            ("text", notes.order_by("pk")),
        )
    ] + [notes.get_or_create(text=key, by_code=key)[1], keys.update_or_create({"title": key}, code="ghi")[1]]


def test_an_instance_in_the_place_of_a_text_is_its_text(local, remote, monkeypatch):
    """The service does not compute texts of instances; the client has the instance and its mirror's text."""
    monkeypatch.setattr(remote.NaturalKey, "__str__", lambda self: self.code)
    results = []
    for side in (local, remote):
        side.NoteOnKey.objects.all().delete()
        side.NaturalKey.objects.all().delete()
        side.NaturalKey.objects.create(code="def", title="y")
        results.append(_same_texts(side, side.NaturalKey.objects.create(code="abc", title="x")))
        assert side.NaturalKey.objects.get(code="ghi").title == "abc"
    assert results[0] == results[1]
    assert results[1][:2] == [["abc"], ["abc", "def"]]


def test_an_instance_without_a_text_is_refused_in_the_place_of_a_text(remote):
    """A mirror without ``__str__`` would be compared as "NaturalKey object (abc)", and no row would be found."""
    key = remote.NaturalKey.objects.create(code="abc", title="x")
    for call in (
        lambda: list(remote.NaturalKey.objects.filter(code=key)),
        lambda: remote.NoteOnKey.objects.create(text=key),
        lambda: remote.NoteOnKey.objects.get_or_create(text=key),
    ):
        with pytest.raises(TypeError, match="expected a value, and was given an instance of a model"):
            call()


def test_an_update_refuses_an_instance_in_the_place_of_a_text(local, remote, monkeypatch):
    monkeypatch.setattr(remote.NaturalKey, "__str__", lambda self: self.code)
    for side in (local, remote):
        key = side.NaturalKey(code="abc")
        message = "Tried to update field .*NoteOnKey.text with a model instance"
        with pytest.raises(TypeError, match=message), transaction.atomic():
            side.NoteOnKey.objects.update(text=key)


@pytest.fixture
def unregistered_model():
    """Return a function that makes a model of no app from its attributes."""

    def make(name, bases=(models.Model,), **attributes):
        meta = type("Meta", (), {"app_label": "elsewhere", "apps": Apps()})
        return type(name, bases, {"__module__": __name__, "Meta": meta, **attributes})

    return make


def test_a_new_instance_with_the_key_of_a_row_is_inserted_where_keys_have_defaults(local, remote):
    """Django tries no update for such a key; the service updated the row of another instance."""
    for side in (local, remote):
        row = side.UuidKey.objects.create(name="first")
        with pytest.raises(IntegrityError), transaction.atomic():
            side.UuidKey(pk=row.pk, name="second").save()
        assert side.UuidKey.objects.get(pk=row.pk).name == "first"
        side.UuidKey(pk=row.pk, name="forced").save(force_update=True)
        assert side.UuidKey.objects.get(pk=row.pk).name == "forced"
        models.Model.save_base(side.UuidKey(pk=row.pk, name="loaded"), raw=True)  # as the deserializers do
        assert side.UuidKey.objects.get(pk=row.pk).name == "loaded"


def test_a_new_instance_with_the_key_of_a_row_updates_it_where_keys_have_no_default(local, remote):
    for side in (local, remote):
        row = side.PlainKey.objects.create(name="first")
        side.PlainKey(pk=row.pk, name="second").save()
        assert side.PlainKey.objects.get(pk=row.pk).name == "second"


def test_the_defaults_of_keys_of_parents_and_of_several_columns(unregistered_model):
    parent = unregistered_model("Parent", id=models.UUIDField(primary_key=True, default=uuid.uuid4))
    child = unregistered_model("Child", (parent,))
    plain = unregistered_model("Plain", number=models.IntegerField(default=0))
    assert [has_default_key(model) for model in (parent, child, plain)] == [True, True, False]
    if hasattr(models, "CompositePrimaryKey"):  # since Django 5.2
        parts = {"a": models.IntegerField(default=1), "b": models.IntegerField(default=2), "c": models.IntegerField()}
        for names, expected in (("ab", True), ("ac", False)):
            model = unregistered_model(
                f"Of{names}", pk=models.CompositePrimaryKey(*names), **{n: parts[n].clone() for n in names}
            )
            assert has_default_key(model) is expected
