"""Each line of ORM code gives the same on a mirror as on the model itself, in one message."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from django.db import models
from django.db.models import (
    Avg,
    Case,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    FilteredRelation,
    Max,
    Min,
    OuterRef,
    Prefetch,
    Q,
    StdDev,
    Subquery,
    Sum,
    Value,
    Variance,
    When,
    Window,
)
from django.db.models import functions as fn
from django.db.models.functions import (
    Cast,
    Coalesce,
    Concat,
    Greatest,
    Length,
    Lower,
    Rank,
    RowNumber,
    TruncMonth,
    Upper,
)
from django.db.models.lookups import GreaterThan

from tests.models.plain import plain

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


READS = {
    "filter": lambda m: list(m.Customer.objects.filter(tier="vip").order_by("id")),
    "exclude": lambda m: list(m.Customer.objects.exclude(tier="vip", active=True).order_by("id")),
    "exclude many": lambda m: list(m.Customer.objects.exclude(orders__status="paid").order_by("id")),
    "filter twice": lambda m: list(
        m.Customer.objects.filter(orders__status="paid").filter(orders__total__gt=10).order_by("id").distinct()
    ),
    "filter once": lambda m: list(
        m.Customer.objects.filter(orders__status="paid", orders__total__gt=10).order_by("id").distinct()
    ),
    "Q": lambda m: list(m.Customer.objects.filter(Q(tier="vip") | ~Q(city="Oslo") & Q(active=True)).order_by("id")),
    "Q xor": lambda m: list(m.Customer.objects.filter(Q(tier="vip") ^ Q(active=True)).order_by("id")),
    "lookups": lambda m: list(
        m.Customer.objects.filter(name__icontains="a", joined__year__gte=2024, id__in=range(1, 30)).order_by("-id")
    ),
    "regex": lambda m: list(m.Customer.objects.filter(name__iregex=r"^[ab]").order_by("id")),
    "isnull": lambda m: list(m.Customer.objects.filter(referred_by__isnull=False).order_by("id")),
    "range": lambda m: list(m.Order.objects.filter(total__range=(10, 500)).order_by("id")),
    "iterator argument": lambda m: list(m.Customer.objects.filter(pk__in=iter([3, 1, 2])).order_by("id")),
    "instance argument": lambda m: list(m.Order.objects.filter(customer=m.Customer.objects.get(pk=1)).order_by("id")),
    "F": lambda m: list(m.Order.objects.filter(total__gt=F("customer__credit")).order_by("id")),
    "F arithmetic": lambda m: list(m.Line.objects.annotate(sum=F("price") * F("quantity") + 1).order_by("id")[:5]),
    "annotate": lambda m: list(m.Customer.objects.annotate(n=Count("orders"), s=Sum("orders__total")).order_by("id")),
    "annotate filter": lambda m: list(m.Customer.objects.annotate(n=Count("orders")).filter(n__gt=2).order_by("id")),
    "alias": lambda m: list(m.Customer.objects.alias(n=Count("orders")).filter(n__gt=2).order_by("-n", "id")),
    "aggregate": lambda m: m.Order.objects.aggregate(
        Count("id"), a=Avg("total"), b=Max("total"), c=Min("created"), d=Sum("total", filter=Q(status="paid"))
    ),
    "aggregate distinct": lambda m: m.Customer.objects.aggregate(n=Count("city", distinct=True)),
    "aggregate default": lambda m: m.Order.objects.filter(pk=-1).aggregate(s=Sum("total", default=0)),
    "statistics": lambda m: m.Product.objects.aggregate(v=Variance("weight"), s=StdDev("weight", sample=True)),
    "group by": lambda m: list(m.Customer.objects.values("city").annotate(n=Count("id")).order_by("city")),
    "group by month": lambda m: list(
        m.Order.objects.annotate(month=TruncMonth("created")).values("month").annotate(n=Count("id")).order_by("month")
    ),
    "case": lambda m: list(
        m.Customer.objects.annotate(
            rank=Case(When(tier="vip", then=Value(1)), When(Q(tier="plus"), then=2), default=3)
        ).order_by("rank", "id")
    ),
    "subquery": lambda m: list(
        m.Customer.objects.annotate(
            last=Subquery(m.Order.objects.filter(customer=OuterRef("pk")).order_by("-id").values("number")[:1])
        ).order_by("id")
    ),
    "exists": lambda m: list(
        m.Customer.objects.filter(Exists(m.Order.objects.filter(customer=OuterRef("pk"), total__gt=100))).order_by("id")
    ),
    "not exists": lambda m: list(
        m.Customer.objects.filter(~Exists(m.Order.objects.filter(customer=OuterRef("pk")))).order_by("id")
    ),
    "window": lambda m: list(
        m.Order.objects.annotate(
            place=Window(Rank(), partition_by=F("customer"), order_by=F("total").desc()),
            row=Window(RowNumber(), order_by=["id"]),
        ).order_by("id")[:20]
    ),
    "functions": lambda m: list(
        m.Customer.objects.annotate(
            lower=Lower("name"),
            size=Length("city"),
            both=Concat("name", Value(" of "), "city"),
            note=Coalesce("notes", Value("-", output_field=models.TextField())),
            text=Cast("credit", models.CharField()),
            most=Greatest("id", Value(10)),
            sub=fn.Substr("name", 1, 3),
            year=fn.ExtractYear("joined"),
        ).order_by(Upper("name"), "id")
    ),
    "wrapper": lambda m: list(
        m.Line.objects.annotate(
            d=ExpressionWrapper(F("price") * 2, output_field=models.DecimalField(max_digits=12, decimal_places=2))
        ).order_by("id")[:5]
    ),
    "lookup expression": lambda m: list(m.Order.objects.filter(GreaterThan(F("total"), 100)).order_by("id")),
    "filtered relation": lambda m: list(
        m.Customer.objects.annotate(paid=FilteredRelation("orders", condition=Q(orders__status="paid")))
        .filter(paid__total__gt=50)
        .order_by("id", "paid__id")
    ),
    "order_by": lambda m: list(m.Customer.objects.order_by(F("notes").asc(nulls_last=True), "-id")),
    "order_by relation": lambda m: list(m.Order.objects.order_by("customer__name", "id")[:10]),
    "distinct": lambda m: list(m.Customer.objects.order_by("city").values_list("city", flat=True).distinct()),
    "reverse": lambda m: list(m.Product.objects.all().reverse()[:5]),
    "slices": lambda m: list(m.Customer.objects.order_by("id")[5:20][2:6]),
    "index": lambda m: m.Customer.objects.order_by("id")[3],
    "step": lambda m: m.Customer.objects.order_by("id")[0:10:3],
    "values": lambda m: list(m.Customer.objects.order_by("id").values("name", "referred_by__name", up=Upper("city"))),
    "values all": lambda m: list(m.Tag.objects.order_by("id").values()),
    "values_list": lambda m: list(m.Customer.objects.order_by("id").values_list("id", "joined", Lower("name"))),
    "values_list all": lambda m: list(m.Tag.objects.order_by("id").values_list()),
    "flat": lambda m: list(m.Customer.objects.order_by("id").values_list("credit", flat=True)),
    "named": lambda m: list(m.Customer.objects.order_by("id").values_list("id", "name", named=True)),
    "dates": lambda m: list(m.Customer.objects.dates("joined", "month", order="DESC")),
    "datetimes": lambda m: list(m.Order.objects.datetimes("created", "day")),
    "union": lambda m: list(
        m.Customer.objects.filter(tier="vip").union(m.Customer.objects.filter(city="Oslo")).order_by("id")
    ),
    "union values": lambda m: list(
        m.Customer.objects.filter(tier="vip")
        .values_list("id", "name")
        .union(m.Tag.objects.values_list("id", "name"))
        .order_by("name", "id")
    ),
    "intersection": lambda m: list(
        m.Customer.objects.filter(tier="vip").intersection(m.Customer.objects.filter(active=True)).order_by("id")
    ),
    "difference": lambda m: list(m.Customer.objects.difference(m.Customer.objects.filter(active=True)).order_by("id")),
    "and": lambda m: list(
        (m.Customer.objects.filter(tier="vip") & m.Customer.objects.filter(active=True)).order_by("id")
    ),
    "or": lambda m: list(
        (m.Customer.objects.filter(tier="vip") | m.Customer.objects.filter(city="Oslo")).order_by("id")
    ),
    "only": lambda m: list(m.Customer.objects.only("name").order_by("id")),
    "defer": lambda m: list(m.Customer.objects.defer("notes", "city").order_by("id")),
    "select_related": lambda m: list(m.Order.objects.select_related("customer__referred_by").order_by("id")[:10]),
    "select_related reverse": lambda m: list(m.Customer.objects.select_related("profile").order_by("id")),
    "prefetch foreign key": lambda m: list(m.Order.objects.prefetch_related("customer").order_by("id")[:10]),
    "prefetch reverse": lambda m: list(m.Customer.objects.prefetch_related("orders").order_by("id")),
    "prefetch deep": lambda m: list(m.Customer.objects.prefetch_related("orders__lines__product").order_by("id")[:8]),
    "prefetch many to many": lambda m: list(m.Product.objects.prefetch_related("tags")),
    "prefetch reverse many to many": lambda m: list(m.Tag.objects.prefetch_related("products").order_by("id")),
    "prefetch one to one": lambda m: list(m.Customer.objects.prefetch_related("profile").order_by("id")),
    "Prefetch": lambda m: list(
        m.Customer.objects.prefetch_related(
            Prefetch(
                "orders",
                m.Order.objects.filter(status="paid").annotate(n=Count("lines")).prefetch_related("lines"),
                to_attr="paid",
            )
        ).order_by("id")
    ),
    "get": lambda m: m.Customer.objects.get(email=m.Customer.objects.order_by("id").values_list("email", flat=True)[0]),
    "first": lambda m: m.Customer.objects.first(),
    "first of ordered": lambda m: m.Product.objects.first(),
    "last": lambda m: m.Customer.objects.order_by("name", "id").last(),
    "none first": lambda m: m.Customer.objects.filter(pk=-1).first(),
    "earliest": lambda m: m.Customer.objects.earliest("joined", "id"),
    "latest": lambda m: m.Order.objects.latest("created", "id"),
    "in_bulk": lambda m: m.Customer.objects.in_bulk([1, 2, 3]),
    "in_bulk field": lambda m: m.Tag.objects.in_bulk(["sale", "gift"], field_name="name"),
    "count": lambda m: m.Customer.objects.filter(tier="vip").count(),
    "count sliced": lambda m: m.Customer.objects.all()[:7].count(),
    "exists()": lambda m: m.Customer.objects.filter(tier="vip").exists(),
    "contains": lambda m: m.Customer.objects.filter(tier="vip").contains(m.Customer.objects.filter(tier="vip").first()),
    "iterator": lambda m: list(m.Customer.objects.order_by("id").iterator(chunk_size=7)),
    "none": lambda m: list(m.Customer.objects.none()),
    "nested": lambda m: list(
        m.Order.objects.filter(customer__in=m.Customer.objects.filter(tier="vip").values("pk")).order_by("id")
    ),
    "nested queryset": lambda m: list(
        m.Order.objects.filter(customer__in=m.Customer.objects.filter(tier="vip")).order_by("id")
    ),
    "nested slice": lambda m: list(
        m.Line.objects.filter(product__in=m.Product.objects.all()[:3]).order_by("id").values_list("id", flat=True)
    ),
    "related manager": lambda m: list(m.Customer.objects.get(pk=1).orders.filter(total__gt=1).order_by("id")),
    "related many": lambda m: list(m.Product.objects.get(pk=1).tags.order_by("id")),
    "related reverse many": lambda m: list(m.Tag.objects.get(pk=1).products.filter(price__gt=1)),
    "through": lambda m: list(m.Order.objects.get(pk=1).products.order_by("sku")),
    "complex_filter": lambda m: list(m.Customer.objects.complex_filter({"tier": "vip"}).order_by("id")),
    "json": lambda m: list(m.Product.objects.filter(attributes__has_key="colour").values_list("sku", "attributes")),
    "dates as data": lambda m: m.Customer.objects.filter(
        joined=dt.date(2024, 1, 5), credit__lt=Decimal("99.50")
    ).count(),
}

#: Reads that need more than one message, because their code evaluates more than one query.
SEVERAL = {
    "instance argument": 2,
    "get": 2,
    "contains": 2,
    "related manager": 2,
    "related many": 2,
    "related reverse many": 2,
    "through": 2,
    "none": 0,
}


@pytest.mark.parametrize("name", READS)
def test_read(name, local, remote, shop_data, messages):
    read = READS[name]
    expected = plain(read(local))
    with messages() as sent:
        found = read(remote)
    assert plain(found) == rename(expected)
    assert len(sent) == SEVERAL.get(name, 1)


def rename(value):
    """Class names of the server as those of the mirrors (the same, but for the seed's example)."""
    return value
