"""Multi-table inheritance: rows of two tables, read and written as those of one model."""

from __future__ import annotations

import pytest
from django.core.exceptions import FieldError
from django.db import transaction
from django.db.models import Case, F, Prefetch, Q, Value, When, Window
from django.db.models.functions import Concat, Lower, Rank, RowNumber

from django_rpc import compute

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


@pytest.fixture
def restaurants(local):
    for number, name in enumerate(["Ada", "Bob", "Cid", "Dan", "Eve"]):
        local.Restaurant.objects.create(
            name=name, address=f"{number % 2} Road", open=number != 2, serves_pizza=number > 2, rating=number
        )
    local.Place.objects.create(name="Zoo")


def _numbered(**options):
    return Window(RowNumber(), order_by=F("name").desc(), **options)


QUERIES = {
    "window filter": lambda m: m.Restaurant.objects.annotate(n=_numbered()).filter(n__lte=3).order_by("pk"),
    "window filter by the parent": lambda m: (
        m.Restaurant.objects.annotate(n=_numbered(partition_by="address")).filter(n=1, rating__gte=0).order_by("-name")
    ),
    "window and condition": lambda m: (
        m.Restaurant.objects.alias(r=Window(Rank(), order_by="rating"))
        .filter(Q(r__gt=2) | Q(name="Ada"))
        .order_by("name")
    ),
    "window filter of the parent": lambda m: m.Place.objects.annotate(n=_numbered()).filter(n__lte=3).order_by("pk"),
    "window and select_related": lambda m: (
        m.Restaurant.objects.select_related("place_ptr").annotate(n=_numbered()).filter(n__lte=3).order_by("pk")
    ),
    "window and only": lambda m: (
        m.Restaurant.objects.only("name").annotate(n=_numbered()).filter(n__lte=3).order_by("pk")
    ),
    "window and defer": lambda m: (
        m.Restaurant.objects.defer("address").annotate(n=_numbered()).filter(n__lte=3).order_by("pk")
    ),
    "window and distinct": lambda m: (
        m.Restaurant.objects.annotate(n=_numbered()).filter(n__lte=3).distinct().order_by("pk")
    ),
}


def _shown(row):
    fields = {f.attname: row.__dict__.get(f.attname, "deferred") for f in row._meta.concrete_fields}
    return {**fields, "n": getattr(row, "n", None)}


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("way", ["lazy", "delayed", "compute", "values", "count", "first", "get", "exists", "slice"])
def test_a_filter_by_a_window(local, remote, restaurants, name, way):
    query = QUERIES[name]
    ways = {
        "lazy": lambda q: [_shown(row) for row in q],
        "delayed": lambda q: [_shown(row) for row in (q.delayed().compute() if hasattr(q, "delayed") else q)],
        "compute": lambda q: [_shown(row) for row in (compute(q)[0] if hasattr(q, "delayed") else q)],
        "values": lambda q: list(q.values_list("name", "pk")),
        "count": lambda q: q.count(),
        "first": lambda q: _shown(q.first()),
        "get": lambda q: _shown(q.get(name=q.values_list("name", flat=True)[0])),
        "exists": lambda q: (q.exists(), q.filter(name="nobody").exists()),
        "slice": lambda q: [_shown(row) for row in q[1:2]],
    }
    assert ways[way](query(remote)) == ways[way](query(local))


def test_expressions_on_fields_of_the_parent_are_saved(local, remote, restaurants):
    """Each statement of Django's updates one of the two tables."""
    for models in (local, remote):
        row = models.Restaurant.objects.get(name="Bob")
        row.address = Concat(F("address"), Value("!"))
        row.rating = F("rating") + 1
        row.save()
        row.refresh_from_db()
        assert row.rating == (2 if models is local else 3)
        assert row.address == ("1 Road!" if models is local else "1 Road!!")


def test_a_prefetch_of_children(local, remote, restaurants):
    def read(models, way=list):
        children = models.Restaurant.objects.order_by("-name")
        places = models.Place.objects.filter(restaurant__isnull=False).order_by("pk")
        prefetch = Prefetch("restaurant", children.filter(rating__gt=0), "found")
        return [
            (place.name, place.found and _shown(place.found)) if hasattr(place, "found") else place.name
            for place in way(places.prefetch_related(prefetch))
        ]

    assert read(remote) == read(local)
    assert read(remote, lambda query: query.delayed().compute()) == read(local)


@pytest.mark.parametrize(
    "values",
    [
        {"address": Concat(F("address"), Value("!"))},
        {"name": Lower("name"), "rating": F("rating") + 1},
        {"address": Case(When(name="Bob", then=Value("here")), default=F("address"))},
    ],
)
def test_updates_by_expressions_of_both_tables(local, remote, restaurants, values):
    def rows(models):
        models.Restaurant.objects.filter(rating__gt=0).update(**values)
        return list(local.Restaurant.objects.order_by("pk").values_list("name", "address", "rating"))

    before = list(local.Restaurant.objects.values_list("pk", "name", "address", "rating"))
    expected = rows(local)
    for pk, name, address, rating in before:
        local.Restaurant.objects.filter(pk=pk).update(name=name, address=address, rating=rating)
    assert rows(remote) == expected


def _write(models, how, name, value):
    row = models.Restaurant.objects.get(name="Bob")
    if how == "update":
        models.Restaurant.objects.filter(name="Bob").update(**{name: value})
    else:
        setattr(row, name, value)
        row.save()


@pytest.mark.parametrize(("name", "other"), [("address", "rating"), ("rating", "address")])
@pytest.mark.parametrize("how", ["save", "update"])
def test_a_value_of_the_other_table_is_djangos_error(local, remote, restaurants, name, other, how):
    for models in (local, remote):
        with transaction.atomic(), pytest.raises(FieldError):
            _write(models, how, name, F(other))
    assert local.Restaurant.objects.get(name="Bob").rating == 1


def test_a_forced_update_of_a_new_child_inserts_it(local, remote):
    """Django inserts the row of the parent, and then inserts the row of the child instead of updating it."""
    for models in (local, remote):
        restaurant = models.Restaurant(name="Fay", address="1 Road")
        restaurant.save(force_update=True)
        assert models.Restaurant.objects.get(name="Fay").pk == restaurant.pk
        restaurant.delete()
        with pytest.raises(ValueError, match="no primary key"), transaction.atomic():
            models.Restaurant(name="Fay").save(update_fields=["name"])
        assert not models.Place.objects.filter(name="Fay").exists()
