"""Writes with expressions in their values: instances and rows afterwards are those of local models."""

from __future__ import annotations

import uuid
from decimal import Decimal

import django
import pytest
from django.db import transaction
from django.db.models import F, UUIDField, Value
from django.db.models.functions import Lower, Upper

from django_rpc import delayed

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])

NEW = {"sku": "new", "title": "New", "category_id": 1}


def described(instance):
    """The class and row of an instance after a write, and both after it is saved once more."""
    before = type(instance.__dict__.get("price")).__name__, type(instance.__dict__.get("title")).__name__
    loaded = instance.price
    instance.save()
    return before, type(loaded).__name__


def saved(m, price):
    product = m.Product.objects.get(pk=1)
    product.price = price
    product.save()
    return described(product)


def bulk_updated(m):
    products = list(m.Product.objects.filter(pk__in=[1, 2]).order_by("pk"))
    for product in products:
        product.price = F("price") + 1
    m.Product.objects.bulk_update(products, ["price"])
    return [described(product) for product in products]


def bulk_created(m):
    products = m.Product.objects.bulk_create([m.Product(**NEW, price=Value(Decimal(3)) + 2)])
    return type(products[0].price).__name__


WRITES = {
    "update_or_create, updated": lambda m: described(
        m.Product.objects.update_or_create(pk=1, defaults={"price": F("price") + 1})[0]
    ),
    "update_or_create, two fields": lambda m: described(
        m.Product.objects.update_or_create(pk=1, defaults={"price": F("price") * 2, "title": Upper("title")})[0]
    ),
    "update_or_create, one value": lambda m: described(
        m.Product.objects.update_or_create(pk=1, defaults={"price": Decimal(7), "title": Lower("title")})[0]
    ),
    "update_or_create, created": lambda m: described(
        m.Product.objects.update_or_create(sku="new", defaults={**NEW, "price": Value(Decimal(4)) + 1})[0]
    ),
    "create_defaults, created": lambda m: described(
        m.Product.objects.update_or_create(
            sku="new", defaults={"price": F("price") + 1}, create_defaults={**NEW, "price": Value(Decimal(4))}
        )[0]
    ),
    "create_defaults, updated": lambda m: described(
        m.Product.objects.update_or_create(
            pk=1, defaults={"price": F("price") + 1}, create_defaults={**NEW, "price": Value(Decimal(4))}
        )[0]
    ),
    "get_or_create, created": lambda m: described(
        m.Product.objects.get_or_create(sku="new", defaults={**NEW, "price": Value(Decimal(4)) + 1})[0]
    ),
    "get_or_create, found": lambda m: described(
        m.Product.objects.get_or_create(pk=1, defaults={**NEW, "price": Value(Decimal(4)) + 1})[0]
    ),
    "create": lambda m: described(m.Product.objects.create(**NEW, price=Value(Decimal(4)) + 1)),
    "save": lambda m: saved(m, F("price") + 1),
    "save of a constant": lambda m: saved(m, Value(Decimal(9))),
    "bulk_update": bulk_updated,
    "bulk_create": bulk_created,
    "related update_or_create": lambda m: described(
        m.Category.objects.get(pk=m.Product.objects.get(pk=1).category_id).products.update_or_create(
            pk=1, defaults={"price": F("price") + 1}
        )[0]
    ),
}
if django.VERSION < (5, 0):
    WRITES = {name: write for name, write in WRITES.items() if "create_defaults" not in name}


def outcome(local, write, models):
    """Return the result or error of ``write`` and the rows after it; roll everything back."""
    try:
        with transaction.atomic():
            try:
                with transaction.atomic():
                    answer = write(models)
            except Exception as error:  # noqa: BLE001 - to be compared
                answer = type(error).__name__
            rows = list(local.Product.objects.order_by("sku").values_list("sku", "title", "price"))
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        return answer, rows


@pytest.mark.parametrize("name", WRITES)
def test_as_on_a_local_model(shop_data, local, remote, name):
    assert outcome(local, WRITES[name], remote) == outcome(local, WRITES[name], local)


def test_a_second_save_keeps_the_price(shop_data, local, remote):
    """The instance does not hold None for a value that only the database knows."""
    price = local.Product.objects.get(pk=1).price
    product, _ = remote.Product.objects.update_or_create(pk=1, defaults={"price": F("price") + 1})
    product.refresh_from_db()
    assert product.price == price + 1
    product.save()
    assert local.Product.objects.get(pk=1).price == price + 1


def test_in_a_graph(shop_data, local, remote):
    """The result of a graph loads the value when it is needed; within the graph it is the value of the row."""
    price = local.Product.objects.get(pk=1).price
    made = remote.Product.objects.delayed().update_or_create(pk=1, defaults={"price": F("price") + 1})
    product, created = made.compute()
    assert not created
    assert product.price == price + 1
    product.save()
    assert local.Product.objects.get(pk=1).price == price + 1
    made = remote.Product.objects.delayed().update_or_create(pk=1, defaults={"price": F("price") + 1})
    assert made[0].price.compute() == price + 2
    made = remote.Product.objects.delayed().create(**NEW, price=Value(Decimal(4)) + 1)
    assert delayed(str)(made.price).compute() in ("5", "5.00")


def test_a_key_that_the_database_makes_of_an_expression(local, remote):
    """The databases of the tests do not return such a key: the instance keeps the expression, as in Django."""
    for m in (local, remote):
        keys = [uuid.uuid4() for _ in range(4)]
        values = [Value(key, UUIDField()) for key in keys]
        created = m.UuidKey.objects.create(id=values[0], name="a")
        saved = m.UuidKey(id=values[1], name="b")
        saved.save()
        (inserted,) = m.UuidKey.objects.bulk_create([m.UuidKey(id=values[2], name="c")])
        assert m.UuidKey.objects.get_or_create(id=values[3], defaults={"name": "d"})[1] is True
        if django.VERSION < (6, 0):
            assert [created.pk, saved.pk, inserted.pk] == values[:3]
        names = [m.UuidKey.objects.get(pk=key).name for key in keys]
        assert names == ["a", "b", "c", "d"]
