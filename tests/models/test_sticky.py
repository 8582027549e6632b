"""The filter after a many-to-many manager joins as it does on a local model.

Django treats the filter of a related manager and the first filter after it as one filter. Any step in between ends
that. The same is true for the queries that prefetch the rows of a relation.
"""

from __future__ import annotations

import pytest
from django.db.models import Prefetch, Q

from django_rpc import compute

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


@pytest.fixture
def tagged(local, shop_data):
    """Three products with two tags each: filters by tags and products have several rows to join."""
    products = list(local.Product.objects.order_by("pk")[:3])
    tags = [local.Tag.objects.get_or_create(name=name)[0] for name in ("new", "old", "blue")]
    products[0].tags.set(tags[:2])
    products[1].tags.set(tags[1:])
    products[2].tags.set(tags)
    return [product.sku for product in products]


#: Each takes the manager ``product.tags`` and the SKU of another product.
STEPS = {
    "filter": lambda tags, sku: tags.filter(products__sku=sku),
    "filter of the same": lambda tags, sku: tags.filter(products__price__gt=0),
    "exclude": lambda tags, sku: tags.exclude(products__sku=sku),
    "all filter": lambda tags, sku: tags.all().filter(products__sku=sku),
    "all all filter": lambda tags, sku: tags.all().all().filter(products__sku=sku),
    "filter filter": lambda tags, sku: tags.filter(name__gt="a").filter(products__sku=sku),
    "empty filter": lambda tags, sku: tags.filter().filter(products__sku=sku),
    "select_related": lambda tags, sku: tags.select_related().filter(products__sku=sku),
    "prefetch_related": lambda tags, sku: tags.prefetch_related("products").filter(products__sku=sku),
    "prefetch_related None": lambda tags, sku: tags.prefetch_related(None).filter(products__sku=sku),
    "order_by": lambda tags, sku: tags.order_by("name").filter(products__sku=sku),
    "annotate": lambda tags, sku: tags.only("name").filter(products__sku=sku),
    "distinct": lambda tags, sku: tags.distinct().filter(products__price__gt=0),
    "negated": lambda tags, sku: tags.filter(~Q(products__sku=sku)),
    "values": lambda tags, sku: tags.values("name").filter(products__sku=sku),
    "filter after": lambda tags, sku: tags.filter(products__price__gt=0).filter(products__sku=sku),
}


def _names(rows):
    return sorted(row["name"] if isinstance(row, dict) else row.name for row in rows)


def _expected(local, tagged, step):
    product = local.Product.objects.get(sku=tagged[0])
    return [_names(step(product.tags, sku)) for sku in tagged]


@pytest.mark.parametrize("name", STEPS)
def test_filter_after_a_manager(local, remote, tagged, name):
    step = STEPS[name]
    product = remote.Product.objects.get(sku=tagged[0])
    assert [_names(step(product.tags, sku)) for sku in tagged] == _expected(local, tagged, step)


@pytest.mark.parametrize("name", STEPS)
def test_filter_after_a_manager_as_delayed(local, remote, tagged, name):
    step = STEPS[name]
    product = remote.Product.objects.get(sku=tagged[0])
    rows = [compute(step(product.tags, sku).delayed())[0] for sku in tagged]
    assert [_names(part) for part in rows] == _expected(local, tagged, step)


@pytest.mark.parametrize("name", STEPS)
def test_filter_of_a_delayed_relation(local, remote, tagged, name):
    step = STEPS[name]
    product = remote.Product.objects.delayed().get(sku=tagged[0])
    assert [_names(step(product.tags, sku).compute()) for sku in tagged] == _expected(local, tagged, step)


@pytest.mark.parametrize("name", STEPS)
def test_filter_in_a_map_over_products(local, remote, tagged, name):
    step = STEPS[name]
    products = remote.Product.objects.filter(sku__in=tagged).order_by("sku").delayed()
    for sku in tagged:
        counts = products.map(lambda product: step(product.tags, sku).count()).compute()  # noqa: B023
        expected = [
            step(product.tags, sku).count() for product in local.Product.objects.filter(sku__in=tagged).order_by("sku")
        ]
        assert counts == expected


@pytest.mark.parametrize("alias", ["rpc", None])
def test_using_ends_sticky_filter(local, remote, tagged, alias):
    here = local.Product.objects.get(sku=tagged[0]).tags.using("default" if alias else None)
    there = remote.Product.objects.get(sku=tagged[0]).tags.using(alias)
    for sku in tagged:
        assert _names(there.filter(products__sku=sku)) == _names(here.filter(products__sku=sku))


@pytest.mark.parametrize("name", ["", "all", "prefetch_related"])
def test_delayed_continues_filter_of_manager(local, remote, tagged, name):
    product, copy = local.Product.objects.get(sku=tagged[0]), remote.Product.objects.get(sku=tagged[0])
    steps = {
        "": lambda tags: tags.get_queryset(),
        "all": lambda tags: tags.all().all(),
        "prefetch_related": lambda tags: tags.prefetch_related("products"),
    }
    for sku in tagged:
        delayed = steps[name](copy.tags).delayed()
        assert _names(delayed.filter(products__sku=sku).compute()) == _names(
            steps[name](product.tags).filter(products__sku=sku)
        )


PREFETCHES = {
    "filtered through itself": lambda m, tagged: m.Product.objects.filter(tags__name="new"),
    "filtered by another": lambda m, tagged: m.Product.objects.filter(tags__name__in=["new", "old"]),
    "filtered twice": lambda m, tagged: m.Product.objects.filter(tags__name="new").filter(tags__name="old"),
    "excluded": lambda m, tagged: m.Product.objects.exclude(tags__name="new"),
    "ordered through itself": lambda m, tagged: m.Product.objects.order_by("tags__name", "sku"),
    "distinct": lambda m, tagged: m.Product.objects.filter(tags__name__gt="a").distinct(),
    "with or": lambda m, tagged: m.Product.objects.filter(Q(tags__name="new") | Q(tags__isnull=True)),
    "of a manager": lambda m, tagged: m.Tag.objects.get(name="old").products.all(),
    "of a filtered manager": lambda m, tagged: m.Tag.objects.get(name="old").products.filter(tags__name="new"),
    "sliced": lambda m, tagged: m.Product.objects.filter(tags__name__gt="a").order_by("-sku")[:2],
    "with a lookup": lambda m, tagged: m.Product.objects.filter(tags__name="new").prefetch_related("tags"),
}


def _prefetched(rows):
    return [
        (
            tag.name,
            [
                (product.sku, [other.name for other in product.tags.order_by("name")])
                for product in getattr(tag, "sliced", None) or tag.products.all()
            ],
        )
        for tag in rows
    ]


@pytest.mark.parametrize("name", PREFETCHES)
@pytest.mark.parametrize("way", ["lazy", "instances", "delayed", "compute"])
def test_prefetch_of_rows_filtered_through_the_relation(local, remote, tagged, name, way):
    def rows(models):
        prefetch = Prefetch("products", PREFETCHES[name](models, tagged), "sliced" if name == "sliced" else None)
        query = models.Tag.objects.filter(name__in=["new", "old", "blue"]).order_by("name")
        return query, prefetch

    query, prefetch = rows(local)
    expected = _prefetched(query.prefetch_related(prefetch))
    query, prefetch = rows(remote)
    if way == "lazy":
        found = query.prefetch_related(prefetch)
    elif way == "instances":
        from django.db.models import prefetch_related_objects

        found = list(query)
        prefetch_related_objects(found, prefetch)
    elif way == "delayed":
        found = query.delayed().prefetch_related(prefetch).compute()
    else:
        (found,) = compute(query.prefetch_related(prefetch))
    assert _prefetched(found) == expected


def test_filter_of_prefetched_rows_joins_as_ever(local, remote, tagged):
    def names(models):
        tags = models.Tag.objects.filter(name__in=["new", "old"]).order_by("name").prefetch_related("products")
        return [[p.sku for p in tag.products.filter(tags__name="blue")] for tag in tags]

    assert names(remote) == names(local)
