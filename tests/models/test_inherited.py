"""Multi-table inheritance: rows of two tables, read and written as those of one model."""

from __future__ import annotations

import pytest
from django.db.models import Case, Count, F, Prefetch, Q, Sum, Value, When, Window
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
    for models in (local, remote):
        row = models.Restaurant.objects.get(name="Bob")
        row.address = Concat(F("address"), Value("!"))
        row.rating = F("rating") + 1
        row.save()
        row.refresh_from_db()
        assert row.rating == (2 if models is local else 3)
        assert row.address == ("1 Road!" if models is local else "1 Road!!")


def test_a_sliced_prefetch_of_children(local, remote, restaurants):
    """A slice of each parent's rows is a filter by a window."""

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
