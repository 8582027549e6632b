"""Mirrors that are made from the service's exposure: written by ``rpc_inspect``, or in memory by ``mirror()``."""

from __future__ import annotations

import importlib.util
import io
import json
import pickle

import pytest
from django.core.management import CommandError, call_command
from django.db import models

import django_rpc
from django_rpc.demo.client.shop import models as shop
from django_rpc.demo.client.zoo import models as zoo
from django_rpc.graph.schema import FieldSchema, ModelSchema, models_of
from django_rpc.models.codegen.models_py import models_source
from tests.models.codegen.test_models_py import ruff

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


def written(*arguments):
    out = io.StringIO()
    call_command("rpc_inspect", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture(scope="module")
def package(tmp_path_factory, django_db_setup, django_db_blocker):
    """The written module, imported as the models of an app."""
    from django.apps import AppConfig, apps

    path = tmp_path_factory.mktemp("written") / "written_models.py"
    with django_db_blocker.unblock():
        path.write_text(written("rpc"))
    spec = importlib.util.spec_from_file_location("written_models", path)
    module = importlib.util.module_from_spec(spec)
    config = type("WrittenConfig", (AppConfig,), {"label": "written", "path": str(path.parent)})(
        "written_models", module
    )
    config.apps, config.models, config.models_module = apps, apps.all_models["written"], module
    apps.app_configs["written"] = config
    apps.clear_cache()
    try:
        spec.loader.exec_module(module)
        apps.clear_cache()
        yield module
    finally:
        del apps.app_configs["written"], apps.all_models["written"]
        apps.clear_cache()


def declared(model):
    """The properties that two mirrors of one model must share."""
    found = {}
    for field in (*model._meta.local_fields, *model._meta.local_many_to_many):
        _name, _, args, kwargs = field.clone().deconstruct()
        kwargs.pop("choices", None)
        kwargs.pop("auto_created", None)
        for key in ("to", "through"):  # by its name: the app is another
            if key in kwargs:
                kwargs[key] = str(kwargs[key]).rpartition(".")[2].lower()
        if field.primary_key:
            kwargs.pop("verbose_name", None)
        found[field.name] = (type(field).__name__, args, kwargs, list(field.flatchoices))
    return found


SAME = [
    *[shop.Customer, shop.Profile, shop.Category, shop.Tag, shop.Product, shop.Order, shop.Line, shop.AuditEntry],
    *[zoo.SmallKey, zoo.PlainKey, zoo.UuidKey, zoo.NaturalKey, zoo.NoteOnKey, zoo.Currency, zoo.Price, zoo.Place],
    *[zoo.ColumnNames, zoo.Restaurant, zoo.Seat, zoo.Booking, zoo.Person, zoo.Note],
]


@pytest.mark.parametrize("model", SAME, ids=lambda model: model.__name__)
def test_generated_mirror_equals_manual_mirror(package, model):
    made = getattr(package, model.__name__)
    assert declared(made) == declared(model)
    assert made._rpc == model._rpc
    assert list(made._meta.ordering) == list(model._meta.ordering)
    assert made._meta.get_latest_by == model._meta.get_latest_by


@pytest.mark.parametrize("model", SAME, ids=lambda model: model.__name__)
def test_mirror_in_memory_equals_manual_mirror(model):
    made = django_rpc.mirror(model._rpc.label)
    assert declared(made) == declared(model)
    assert made._rpc == model._rpc


QUERIES = {
    "filter": lambda m: list(m.Order.objects.filter(customer__tier="vip").values_list("pk", "total")),
    "reverse": lambda m: m.Customer.objects.filter(orders__total__gt=50).distinct().count(),
    "joined": lambda m: [(o.pk, o.customer.name) for o in m.Order.objects.select_related("customer")[:5]],
    "prefetched": lambda m: [
        [line.product_id for line in o.lines.all()] for o in m.Order.objects.prefetch_related("lines")[:5]
    ],
    "many to many": lambda m: [t.name for t in m.Product.objects.get(pk=3).tags.order_by("pk")],
    "through": lambda m: m.Order.objects.filter(products__sku="SKU-00003").count(),
    "latest": lambda m: m.Order.objects.latest().pk,
    "ordered": lambda m: [c.pk for c in m.Category.objects.all()],
    "inherited": lambda m: m.Order.objects.aggregate(models.Sum("total")),
}


@pytest.mark.parametrize("name", QUERIES)
def test_queries_give_the_same(package, shop_data, name):
    assert QUERIES[name](package) == QUERIES[name](shop) == QUERIES[name](InMemory())


class InMemory:
    """``InMemory().Order``: the mirror of shop.Order."""

    def __getattr__(self, name):
        return django_rpc.mirror(f"shop.{name}")


def test_inherited_and_filled_mirrors_save(package, local):
    for source in (package.Restaurant, django_rpc.mirror("zoo.Restaurant")):
        made = source.objects.create(name="Piccolo", serves_pizza=True)
        assert local.Restaurant.objects.get(pk=made.pk).name == "Piccolo"
        assert source.objects.get(pk=made.pk).place_ptr.name == "Piccolo"
    filled = django_rpc.mirror("zoo.Filled").objects.create(name="x")
    assert local.Filled.objects.get(pk=filled.pk).number == 7


def test_a_proxy_is_another_face(package, local):
    place = local.Place.objects.create(name="shut", open=False)
    assert issubclass(package.OpenPlace, package.Place)
    assert not package.OpenPlace.objects.filter(pk=place.pk).exists()
    assert package.Place.objects.filter(pk=place.pk).exists()


# mirror()


def test_related_mirrors_are_one_message(messages, monkeypatch):
    from django_rpc.models import mirror

    monkeypatch.setattr(mirror, "_made", {})
    monkeypatch.setattr(mirror, "_app_label", lambda label, using: f"{using}_once_{label.partition('.')[0]}")
    with messages() as sent:
        order = django_rpc.mirror("shop.Order", using="rpc")
        customer = django_rpc.mirror("shop.customer")
    assert len(sent) == 1
    assert order._meta.get_field("customer").related_model is customer
    assert customer._meta.get_field("orders").related_model is order
    assert order.__module__ == "django_rpc.mirrors.rpc_once_shop"


def test_classes_and_instances_are_pickled(shop_data):
    order = django_rpc.mirror("shop.Order").objects.first()
    assert pickle.loads(pickle.dumps(order)) == order
    assert pickle.loads(pickle.dumps(type(order))) is type(order)


def test_unknown_model_has_suggestions():
    with pytest.raises(LookupError, match=r"exposes no model 'shop.Ordr'. Did you mean 'shop.Order'"):
        django_rpc.mirror("shop.Ordr")
    with pytest.raises(LookupError, match=r"Did you mean 'shop.Order'"):
        django_rpc.mirror("elsewhere.Order")


def test_a_database_that_is_no_service_is_refused():
    with pytest.raises(ValueError, match="'default' is no service"):
        django_rpc.mirror("shop.Order", using="default")


# rpc_inspect


def test_the_text_is_formatted_and_without_a_lint(tmp_path):
    text = written("rpc")
    formatted = ruff("format", text=text, folder=tmp_path)
    assert formatted.stdout.decode() == text
    for rules in ([], ["--select=E,F,I,RUF", "--ignore=E501,RUF001"]):  # the default permissions, and more
        checked = ruff("check", *rules, text=text, folder=tmp_path)
        assert checked.returncode == 0, checked.stdout.decode()


def test_named_models_alone():
    text = written("rpc", "shop.Tag")
    assert text.count("class Rpc:") == 1
    assert "class Tag(RpcModel):" in text


def test_unsupported_field_is_a_comment():
    text = written("rpc", "shop.Customer", "shop.AuditEntry")
    assert "# Computed at the service: display_name, order_count." in text
    assert "# Methods, by objects.call(name, ...): top_spenders." in text
    assert "# Operations: read." in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("default",), "'default' is no service in DATABASES; the services are: rpc."),
        (("nowhere",), "'nowhere' is no service in DATABASES"),
        (("rpc", "shop.Ordr"), "exposes no model 'shop.Ordr'. Did you mean 'shop.Order'"),
    ],
)
def test_mistakes_raise_clear_errors(arguments, message):
    with pytest.raises(CommandError, match=message):
        written(*arguments)


def test_clashing_names():
    key = FieldSchema(name="id", type="AutoField", primary_key=True)
    fields = [
        FieldSchema(name="models", type="TextField"),
        FieldSchema(name="uuid", type="UUIDField", called_default="uuid4"),
        FieldSchema(name="other", type="UUIDField", called_default="uuid4"),
        FieldSchema(name="odd", null=True),
    ]
    described = {
        label: ModelSchema(model=label, fields=[key, *fields], verbose_name="\"quoted\" 'name'")
        for label in ("hall.Seat", "zoo.Seat")
    }
    text = models_source(described, "other")
    assert "class Seat(RpcModel):" in text
    assert "class ZooSeat(RpcModel):" in text
    assert 'database = "other"' in text
    assert "odd = models.TextField(null=True)  # This field type is a guess." in text
    names = [line.split()[0] for line in text.partition("class ZooSeat")[0].splitlines() if " = models." in line]
    assert names == ["id", "other", "odd", "uuid", "models"]
    compile(text, "written", "exec")


def test_a_name_that_is_no_name_is_refused_before_it_becomes_code():
    for bad in (
        {"model": "shop.Order", "fields": [{"name": "x = 1; y", "type": "TextField"}]},
        {"model": "shop.Order): pass", "fields": []},
        {"model": "shop.Order", "fields": [{"name": "a", "type": "system"}]},
        {"model": "shop.Order", "fields": [{"name": "a", "type": "ForeignKey", "to": "shop.Order", "on_delete": "x"}]},
        {"model": "shop.Order", "fields": "no"},
        {},
    ):
        with pytest.raises(ValueError, match=r"."):
            models_of({"models": [bad]})
    with pytest.raises(ValueError, match="does not describe models"):
        models_of(json.loads("[]"))
