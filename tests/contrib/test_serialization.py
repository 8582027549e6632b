"""dumpdata and loaddata on a service's alias, and the serializers on mirrors."""

from __future__ import annotations

import io
import json

import pytest
from django.core import serializers
from django.core.management import call_command

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


def dumped(*labels, **options):
    out = io.StringIO()
    call_command("dumpdata", *labels, stdout=out, **options)
    return out.getvalue()


def rows_of(text):
    return [{**row, "model": row["model"].replace("shop_client.", "shop.")} for row in json.loads(text)]


@pytest.mark.parametrize("name", ["Category", "Tag", "Product", "Order", "Line", "Profile"])
def test_dumpdata_is_that_of_the_service(shop_data, name):
    one, other = dumped(f"shop.{name}"), dumped(f"shop_client.{name}", database="rpc")
    assert rows_of(other) == rows_of(one)
    assert rows_of(one)


@pytest.mark.parametrize("format", ["json", "jsonl", "xml"])
def test_loaddata_restores_dumped_rows(shop_data, local, tmp_path, format):
    file = tmp_path / f"shop.{format}"
    file.write_text(dumped("shop_client.Tag", "shop_client.Product", database="rpc", format=format))
    tags = {product.pk: sorted(product.tags.values_list("pk", flat=True)) for product in local.Product.objects.all()}
    before = list(local.Product.objects.order_by("pk").values())
    local.Line.objects.all().delete()
    local.Product.objects.all().delete()
    local.Tag.objects.all().delete()
    call_command("loaddata", str(file), database="rpc", verbosity=0)
    assert list(local.Product.objects.order_by("pk").values()) == before
    assert {p.pk: sorted(p.tags.values_list("pk", flat=True)) for p in local.Product.objects.all()} == tags


def test_loaddata_changes_rows_that_are_there(shop_data, local, tmp_path):
    file = tmp_path / "tags.json"
    rows = json.loads(dumped("shop_client.Tag", database="rpc"))
    rows[0]["fields"]["name"] = "changed"
    file.write_text(json.dumps(rows))
    call_command("loaddata", str(file), database="rpc", verbosity=0)
    assert local.Tag.objects.get(pk=rows[0]["pk"]).name == "changed"
    assert local.Tag.objects.count() == len(rows)


def test_all_models_of_the_alias(shop_data):
    labels = {row["model"] for row in json.loads(dumped("shop_client", database="rpc", exclude=[
        "shop_client.CustomerCard", "shop_client.OrderCard",
    ]))}  # fmt: skip
    assert labels >= {"shop_client.customer", "shop_client.order", "shop_client.line", "shop_client.tag"}


def test_primary_keys(shop_data):
    rows = json.loads(dumped("shop_client.Order", database="rpc", primary_keys="3,5"))
    assert [row["pk"] for row in rows] == [3, 5]


def test_serializers(shop_data, remote, local):
    text = serializers.serialize("json", remote.Order.objects.filter(pk__lt=3), fields=["number", "customer"])
    (first, *_) = serializers.deserialize("json", text, using="rpc")
    assert type(first.object) is remote.Order
    assert first.object.number in set(local.Order.objects.values_list("number", flat=True))


def test_iterator_reads_one_message(shop_data, messages):
    with messages() as sent:
        dumped("shop_client.Order", database="rpc")
    assert len(sent) == 1
