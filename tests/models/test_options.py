"""Mirrors can be defined in an app, in a script and in a notebook's cell; the options of ``class Rpc`` are checked."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import models

from django_rpc.models import RpcModel
from django_rpc.models.options import RpcOptions, mirror_for, options_of

SEED = """
import django
from django.conf import settings

settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
django.setup()
from django.db import connection, models, connections
connection.ensure_connection()
from django_rpc.models import RpcModel

settings.DATABASES['rpc'] = {
    'BROKER_URL': 'amqp://guest@localhost/',
    'DEFAULT_QUEUE_NAME': 'django_rpc',
    'PRIORITY_QUEUE_NAME': 'django_rpc',
    'RESULT_BACKEND': 'redis://localhost/'
}
settings.DATABASE_ROUTERS = ['django_rpc.routers.RpcRouter']

CELL = '''
class ClientModel(RpcModel):
    class Rpc:
        app_label = 'rpc_server'
        name = 'ServerModel'
        database = 'rpc'
        fields = None

    some_field = models.CharField(max_length=32)
    other_field = models.IntegerField(default=0)
'''
"""


def test_in_a_script_with_the_four_keys_of_the_quick_start(run_python):
    done = run_python(
        SEED
        + """
exec(CELL)
print(connections['rpc'].vendor, ClientModel.objects.db, ClientModel._meta.managed, ClientModel._rpc.label)
print(repr(ClientModel.objects.filter(some_field='1').values('pk').delayed()))
""",
        env={"DJANGO_SETTINGS_MODULE": ""},
    )
    assert done.stdout.splitlines() == [
        "rpc rpc False rpc_server.ServerModel",
        "<Delayed ServerModel.objects.filter(some_field='1').values('pk')>",
    ]


def test_in_a_cell_that_is_run_twice(run_python):
    done = run_python(
        SEED
        + """
import warnings
warnings.simplefilter("error")
exec(CELL)
first = ClientModel
exec(CELL)
from django_rpc.models.options import mirror_for
assert ClientModel is not first
assert mirror_for("rpc", "rpc_server.ServerModel") is ClientModel
print(ClientModel.objects.filter(some_field='1').query.model is ClientModel)
""",
        env={"DJANGO_SETTINGS_MODULE": ""},
    )
    assert done.stdout == "True\n"


def test_defaults_of_the_options():
    options = RpcOptions.from_class(None, None, "shop", "Order")
    assert options == RpcOptions(label="shop.Order", database="rpc", fields=None)


def test_a_misspelt_option_is_named():
    with pytest.raises(ImproperlyConfigured, match=r"Thing\.Rpc has no option 'databse'\. Did you mean 'database'"):

        class Thing(RpcModel):
            class Rpc:
                databse = "rpc"

            class Meta:
                app_label = "definition_tests"


def test_fields_is_no_string():
    with pytest.raises(ImproperlyConfigured, match="list of names"):
        RpcOptions.from_class(type("Rpc", (), {"fields": "name"}), None, "a", "B")


def test_an_abstract_base_gives_its_label_and_database():
    class Base(RpcModel):
        class Rpc:
            app_label = "warehouse"
            database = "stock"

        class Meta:
            abstract = True

    class Shelf(Base):
        class Meta:
            app_label = "definition_tests"

    assert options_of(Shelf) == RpcOptions(label="warehouse.Shelf", database="stock")
    assert mirror_for("stock", "warehouse.Shelf") is Shelf


def test_custom_manager_and_queryset_record_nodes():
    class Shelves(models.QuerySet):
        def full(self):
            return self.filter(full=True)

    class Manager(models.Manager.from_queryset(Shelves)):
        def get_queryset(self):
            return super().get_queryset().exclude(hidden=True)

    class Rack(RpcModel):
        full = models.BooleanField()
        hidden = models.BooleanField()
        racks = Manager()

        class Meta:
            app_label = "definition_tests"

    from django_rpc.graph.format import describe

    assert Rack._default_manager is not None
    assert describe(Rack.racks.full().query.node) == "Rack.objects.exclude(hidden=True).filter(full=True)"
    assert isinstance(Rack.racks.full(), Shelves)


@pytest.mark.django_db(databases=["default", "rpc"])
def test_rpc_fields_limits_loaded_fields(shop_data, local, messages):
    class Short(RpcModel):
        class Rpc:
            app_label = "shop"
            name = "Customer"
            fields = ["name", "order_count"]

        class Meta:
            app_label = "definition_tests"

        name = models.CharField(max_length=100)
        city = models.CharField(max_length=60)

    with messages() as sent:
        one = Short.objects.get(pk=1)
        assert one.order_count == local.Order.objects.filter(customer=1).count()
        assert one.get_deferred_fields() == {"city"}
    assert len(sent) == 1
    assert one.city == local.Customer.objects.get(pk=1).city


@pytest.mark.django_db(databases=["default", "rpc"])
def test_computed_fields_of_a_mirror(shop_data, local, remote, messages):
    with messages() as sent:
        cards = list(remote.CustomerCard.objects.order_by("id")[:3])
        assert [card.order_count for card in cards] == [
            local.Order.objects.filter(customer=card.pk).count() for card in cards
        ]
    assert len(sent) == 1
