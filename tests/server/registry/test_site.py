"""Registration: exposed models, and mistakes that raise at once."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_rpc.demo.server.shop.models import Customer, Order, Tag
from django_rpc.demo.server.zoo.models import Restaurant
from django_rpc.server import ModelRpc, RpcSite, site
from django_rpc.server.conf import Settings, settings


def rpc(**attributes):
    return type("SomeRpc", (ModelRpc,), attributes)


@pytest.fixture
def fresh():
    return RpcSite()


def test_both_forms_of_register(fresh):
    given = rpc(fields=["id"])
    assert fresh.register(Tag, given) is given
    assert fresh.register(Order)(given) is given
    assert list(fresh) == [Tag, Order]


def test_the_key_is_always_exposed_and_other_fields_are_not(fresh):
    fresh.register(Customer, rpc(fields=["name"]))
    exposure = fresh.exposure(Customer)
    assert exposure.names == {"pk", "id", "name"}
    assert exposure.readable == {"shop_customer": {"id", "name"}}
    assert exposure.operations == {"read"}


def test_all_fields(fresh):
    fresh.register(Customer, rpc(fields="__all__"))
    assert not fresh.exposure(Customer).hides


def test_inherited_columns_are_those_of_the_parents_table(fresh):
    fresh.register(Restaurant, rpc(fields=["name", "rating"]))
    assert fresh.exposure(Restaurant).readable == {
        "zoo_restaurant": {"rating", "place_ptr_id"},
        "zoo_place": {"id", "name"},
    }


def test_computed_fields(fresh):
    class OrderRpc(ModelRpc):
        fields = ["id", "is_large", "shout"]

        def shout(self, obj):
            return obj.number.upper()

    fresh.register(Order, OrderRpc)
    fresh.register(Customer, rpc(fields=["display_name"]))
    computed = fresh.exposure(Order).computed
    assert computed["is_large"](Order(total=1000)) is True
    assert computed["shout"](Order(number="a-1")) == "A-1"
    assert set(fresh.exposure(Customer).computed) == {"display_name"}


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"fields": ["nope"]}, "secret_note"),  # the fields that there are
        ({"fields": "name"}, "list of names"),
        ({"fields": [1]}, "not a name"),
        ({"fields": ["objects"]}, "neither a field"),
        ({"fields": ["_state"]}, "not a valid name"),
        ({"fields": ["name"], "operations": {"read", "drop"}}, "create, delete, read, update"),
        ({"fields": ["name"], "methods": ["nope"]}, "top_spenders"),
        ({"fields": ["name"], "methods": ["_raw_delete"]}, "not a valid name"),
        ({"fields": ["name"], "methods": ["get_queryset"]}, "no method"),
        ({"fields": ["name"], "readonly_fields": ["city"]}, "which 'fields' does not"),
        ({"fields": ["name"], "filterable_fields": ["nope"]}, "no field of the model"),
        ({"fields": ["display_name"], "filterable_fields": ["display_name"]}, "no field of the model"),
        ({"fields": ["name"], "filterable_fields": "name"}, "list of names"),
        ({"fields": ["name"], "writable_fields": ["nope"]}, "no field of the model"),
    ],
)
def test_mistakes_list_existing_names(fresh, attributes, said):
    with pytest.raises(ImproperlyConfigured, match=said):
        fresh.register(Customer, rpc(**attributes))
    assert Customer not in fresh


def test_twice_abstract_and_no_class(fresh):
    fresh.register(Tag, rpc(fields=["name"]))
    with pytest.raises(ImproperlyConfigured, match="registered already, with SomeRpc"):
        fresh.register(Tag, rpc(fields=["name"]))
    with pytest.raises(ImproperlyConfigured, match="takes a model"):
        fresh.register(int, rpc())
    with pytest.raises(ImproperlyConfigured, match="ModelRpc class"):
        fresh.register(Order, int)


def test_the_demo_was_discovered():
    assert Customer in site


def test_settings_are_typed_and_live(settings_of_server):
    assert settings.STRICT is True
    settings_of_server(STRICT=False, LIMITS={"nodes": 5})
    assert settings.STRICT is False
    assert settings.limits.nodes == 5
    settings_of_server(STRICT="no")
    with pytest.raises(ImproperlyConfigured, match=r"DJANGO_RPC\['STRICT'\] has to be of type bool"):
        _ = settings.STRICT
    settings_of_server(LIMITS={"depht": 5})
    with pytest.raises(ImproperlyConfigured, match="depth"):
        _ = settings.limits
    with pytest.raises(AttributeError, match="STRICT"):
        _ = Settings().STRIKT
