"""One mirror at two services: ``using()`` moves a query with all that it holds, and instances stay at theirs."""

from __future__ import annotations

import pickle
import unittest

import pytest
from django.db import connections
from django.db.models import Exists, OuterRef, Prefetch
from django.test import TestCase

from django_rpc.client.hooks import MessageListener
from django_rpc.routers import RpcRouter

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


@pytest.fixture
def sent(database_alias):
    """The aliases that messages were sent to; ``copy`` is another service with the shop's models."""
    aliases = []
    database_alias("copy", dict(connections.settings["rpc"]))
    listeners = []
    for alias in ("rpc", "copy"):
        listener = MessageListener(lambda record, alias=alias: aliases.append(alias))
        connections[alias].session.hooks.append(listener)
        listeners.append((connections[alias].session.hooks, listener))
    connections["copy"].connection = object()  # Django's test case allows no alias that it does not know
    yield aliases
    for known, listener in listeners:
        known.remove(listener)
    connections["copy"].connection = None


def test_a_query_moves_with_all_that_is_nested_in_it(remote, shop_data, sent):
    vips = remote.Customer.objects.filter(tier="vip")
    orders = remote.Order.objects.filter(customer__in=vips).filter(
        Exists(remote.Line.objects.filter(order=OuterRef("pk")))
    )
    here = list(orders.order_by("pk"))
    moved = orders.order_by("pk").using("copy")
    assert list(moved) == here
    assert {order._state.db for order in moved} == {"copy"}
    assert moved.all().count() == len(here)
    assert moved.all().first().pk == here[0].pk
    assert [row["pk"] for row in moved.values("pk")] == [order.pk for order in here]
    assert (moved | orders).count() == len(here)
    assert moved.delayed().count().compute() == len(here)
    assert pickle.loads(pickle.dumps(moved.all().query)).get_count("copy") == len(here)
    assert sent == ["rpc"] + ["copy"] * 7


def test_query_with_using_stays_at_service(remote, shop_data, sent):
    """Its values are sent: the rows that it refers to at "rpc" may not exist at "copy"."""
    vips = remote.Customer.objects.using("rpc").filter(tier="vip")
    assert remote.Order.objects.filter(customer__in=vips).using("copy").count()
    assert sent == ["rpc", "copy"]


def test_relations_are_read_at_service_of_instance(remote, shop_data, sent):
    order = remote.Order.objects.using("copy").filter(lines__isnull=False).prefetch_related("lines__product").first()
    assert {line._state.db for line in order.lines.all()} == {"copy"}
    assert {line.product._state.db for line in order.lines.all()} == {"copy"}
    assert sent == ["copy"]
    assert order.customer._state.db == "copy"
    assert order.products.first()._state.db == "copy"
    assert order.customer.orders.get(pk=order.pk)._state.db == "copy"
    order.refresh_from_db()
    assert (
        remote.Order.objects.using("copy")
        .prefetch_related(Prefetch("products", remote.Product.objects.using("rpc")))
        .get(pk=order.pk)
        .products.all()[0]
        ._state.db
        == "rpc"
    )
    assert set(sent[:-2]) == {"copy"}
    assert sent[-2:] == ["copy", "rpc"]


def test_service_of_writes(local, remote, shop_data, sent):
    product = remote.Product.objects.using("copy").first()
    product.save()
    product.tags.add(remote.Tag.objects.using("copy").create(name="unheard of"))
    product.tags.set([])
    remote.Tag.objects.using("copy").bulk_create([remote.Tag(name="bulk")])
    remote.Tag.objects.using("copy").filter(name="bulk").update(name="changed")
    tag = remote.Tag.objects.using("copy").get(name="changed")
    tag.delete()
    remote.Tag(name="other").save(using="copy")
    remote.Tag.objects.using("copy").get(name="other").delete(using="rpc")
    assert sent == ["copy"] * 11 + ["rpc"]
    with pytest.raises(remote.Tag.DoesNotExist):
        remote.Tag.objects.using("copy").get(name="other")


def test_deferred_fields_are_read_before_save_elsewhere(remote, shop_data, sent):
    partial = remote.Customer.objects.using("copy").only("name").first()
    city = remote.Customer.objects.get(pk=partial.pk).city
    remote.Customer.objects.filter(pk=partial.pk).update(city="Nowhere")
    remote.Customer.objects.filter(pk=partial.pk).update(city=city)
    del sent[:]
    partial.save(using="rpc")
    assert set(sent[:-1]) == {"copy"}
    assert sent[-1] == "rpc"
    assert partial.city == city
    remote.Customer.objects.using("copy").filter(pk=partial.pk).update(credit=0)
    remote.Customer.objects.using("copy").only("name").first().save(using="rpc")
    assert remote.Customer.objects.get(pk=partial.pk).credit == 0


def test_mirrors_of_two_services_are_not_related(remote, shop_data, sent):
    one, other = remote.Customer.objects.first(), remote.Customer.objects.using("copy").last()
    with pytest.raises(ValueError, match="the current database router prevents this relation"):
        one.referred_by = other
    assert RpcRouter().allow_relation(one, remote.Customer.objects.last())
    assert RpcRouter().allow_migrate("copy", "shop_client", model=remote.Customer)
    assert not RpcRouter().allow_migrate("default", "shop_client", model=remote.Customer)


def test_a_router_may_choose_the_service(remote, shop_data, sent, settings):
    class ReadsFromCopy:
        def db_for_read(self, model, **hints):
            return "copy" if model is remote.Customer else None

    settings.DATABASE_ROUTERS = [ReadsFromCopy(), "django_rpc.routers.RpcRouter"]
    customer = remote.Customer.objects.get(pk=1)
    assert customer._state.db == "copy"
    settings.DATABASE_ROUTERS = []
    assert remote.Customer.objects.get(pk=1)._state.db == "rpc"
    assert sent == ["copy", "rpc"]


def test_test_case_writes_are_isolated(shop_data, remote):
    """The rollback of a test's block was taken for the rollback of a user's block, which a service cannot do."""

    class Tests(TestCase):
        databases = {"default", "rpc"}

        def test_one(self):
            remote.Tag.objects.bulk_create([remote.Tag(name="one")])

        test_two = test_one

    result = unittest.TestResult()
    unittest.TestSuite([Tests("test_one"), Tests("test_two")]).run(result)
    assert (result.testsRun, result.errors, result.failures) == (2, [], [])
