"""Reads in a block of ``django_rpc.atomic()``: refused where a collected write could change them, else answered."""

# ruff: noqa: PT012 - the exceptions leave whole blocks

from __future__ import annotations

import pytest
from django.db.models import Count, Exists, F, FilteredRelation, OuterRef, Prefetch, Q, Value

import django_rpc
from django_rpc.models.atomic import NotSentYet

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])

#: Reads that use lines of an order, and so conflict with a write of lines.
READS_OF_LINES = {
    "model": lambda m: m.Line.objects.count(),
    "keyword": lambda m: m.Order.objects.filter(lines__quantity=1).count(),
    "many-to-many": lambda m: m.Order.objects.filter(products__sku="A").count(),
    "condition": lambda m: m.Order.objects.filter(Q(pk=1) | ~Q(lines__price__gt=1)).count(),
    "relation of a relation": lambda m: m.Customer.objects.filter(orders__lines__quantity=1).exists(),
    "order": lambda m: m.Order.objects.order_by("-lines__quantity").first(),
    "aggregate": lambda m: m.Order.objects.annotate(n=Count("lines")).first(),
    "aggregate of all": lambda m: m.Order.objects.aggregate(n=Count("lines", filter=Q(pk__gt=1))),
    "values": lambda m: list(m.Order.objects.values_list("number", "lines__quantity")[:2]),
    "expression of values": lambda m: list(m.Order.objects.values(n=F("lines__quantity"))[:2]),
    "prefetch": lambda m: list(m.Order.objects.prefetch_related("lines")[:2]),
    "prefetch of a queryset": lambda m: list(m.Order.objects.prefetch_related(Prefetch("lines", to_attr="rows"))[:2]),
    "prefetch of a prefetch": lambda m: list(
        m.Customer.objects.prefetch_related(Prefetch("orders", to_attr="rows"), "rows__lines")[:2]
    ),
    "filtered relation": lambda m: (
        m.Customer.objects.annotate(large=FilteredRelation("orders", condition=Q(orders__total__gt=1)))
        .filter(large__lines__quantity=1)
        .count()
    ),
    "subquery": lambda m: m.Order.objects.filter(Exists(m.Line.objects.filter(order=OuterRef("pk")))).count(),
    "outer query": lambda m: m.Order.objects.filter(
        Exists(m.Tag.objects.filter(pk=OuterRef("lines__quantity")))
    ).count(),
    "nested query": lambda m: m.Product.objects.filter(pk__in=m.Line.objects.values("product")).count(),
    "related manager": lambda m: m.Order.objects.delayed().get(pk=1).lines.count().compute(),
    "map": lambda m: m.Order.objects.map(lambda order: order.lines.count()).compute(),
    "map in a map": lambda m: m.Customer.objects.map(
        lambda customer: customer.orders.map(lambda order: order.lines.count())
    ).compute(),
    "conditional": lambda m: (
        django_rpc.cond(m.Tag.objects.delayed().exists(), m.Order.objects.delayed().first(), None)
        .lines.count()
        .compute()
    ),
}

#: Reads with the names of relations as data or as names of annotations, or with relations without a read of their rows.
OTHER_READS = {
    "other model": lambda m: m.Customer.objects.count(),
    "text": lambda m: m.Order.objects.filter(number="lines").exists(),
    "text with lookups": lambda m: m.Order.objects.filter(number__in=["lines__order", "x"]).exists(),
    "value": lambda m: m.Order.objects.annotate(text=Value("lines")).first(),
    "annotation": lambda m: m.Tag.objects.annotate(lines=Count("pk")).filter(lines__gt=0).count(),
    "key of JSON": lambda m: m.Product.objects.filter(attributes__lines__order=1).exists(),
    "instance": lambda m: m.Order.objects.select_related("customer").first(),
    "map": lambda m: m.Customer.objects.map(lambda customer: customer.orders.count()).compute(),
}


@pytest.mark.parametrize("read", READS_OF_LINES.values(), ids=READS_OF_LINES.keys())
def test_read_of_a_written_model_is_refused(read, remote, shop_data):
    line = remote.Line.objects.first()
    with pytest.raises(NotSentYet, match="could depend on"), django_rpc.atomic("rpc"):
        line.save()
        read(remote)


@pytest.mark.parametrize("read", OTHER_READS.values(), ids=OTHER_READS.keys())
def test_other_read_is_answered(read, remote, shop_data, messages):
    line = remote.Line.objects.first()
    with messages() as sent, django_rpc.atomic("rpc"):
        line.save()
        read(remote)
        assert len(sent) == 1
    assert len(sent) == 2


def test_instance_is_read_after_a_write_of_its_foreign_key_target(remote, shop_data):
    customer = remote.Customer.objects.get(pk=1)
    with django_rpc.atomic("rpc"):
        customer.save()
        assert remote.Order.objects.filter(customer_id=1).first().customer_id == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda product, tag: product.tags.add(tag),
        lambda product, tag: tag.products.set([product]),
        lambda product, tag: product.tags.clear(),
    ],
)
def test_change_of_a_many_to_many_relation(write, remote, shop_data):
    product, tag = remote.Product.objects.get(pk=1), remote.Tag.objects.get(pk=1)
    with pytest.raises(NotSentYet), django_rpc.atomic("rpc"):
        write(product, tag)
        remote.Product.objects.filter(tags=1).count()
    with django_rpc.atomic("rpc"):
        write(product, tag)
        assert remote.Order.objects.count()


def test_write_in_a_map(remote, shop_data):
    orders = remote.Order.objects.filter(pk=1)
    with pytest.raises(NotSentYet), django_rpc.atomic("rpc") as block:
        block.add(orders.map(lambda order: order.lines.update(quantity=2)))
        remote.Line.objects.count()
    with django_rpc.atomic("rpc") as block:
        block.add(orders.map(lambda order: order.lines.update(quantity=2)))
        assert remote.Order.objects.count()


def test_registered_method_may_write_each_model(remote, shop_data):
    with pytest.raises(NotSentYet), django_rpc.atomic("rpc"):
        remote.Order.objects.filter(pk=1).call("mark_paid")
        remote.Tag.objects.count()
