"""``django.contrib.postgres`` with PostgreSQL: the tests of expressions and fields, and a test with a live worker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from django_rpc.demo import environment

ROOT = Path(__file__).parents[2]


def test_expressions_and_fields(postgresql_url):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "tests/models/test_postgres.py",
            "-k",
            "not (other_databases or without_psycopg)",
            "-q",
            "-p",
            "no:cacheprovider",
        ],
        cwd=ROOT,
        env={**os.environ, environment.DATABASE: postgresql_url},
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("live_service", ["rabbitmq-postgresql"], indirect=True)
def test_with_a_worker(live_service, live_rpc):
    import psycopg
    from django.contrib.postgres.aggregates import ArrayAgg, StringAgg
    from django.contrib.postgres.expressions import ArraySubquery
    from django.contrib.postgres.search import SearchQuery, SearchRank, SearchVector
    from django.db.models import F, OuterRef
    from django.db.models.functions import JSONObject

    from django_rpc.demo.client.shop.models import Category, Product

    vector, query = SearchVector("title", config="english"), SearchQuery("lamp | atlas", search_type="raw")
    found = Product.objects.aggregate(x=ArrayAgg("title", order_by="-pk"), y=StringAgg("title", "'; --", order_by="pk"))
    ranked = (
        Product.objects.annotate(r=SearchRank(vector, query), s=vector).filter(s=query).order_by(F("r").desc(), "pk")
    )
    objects = Product.objects.filter(category=OuterRef("pk")).order_by("pk").values(j=JSONObject(title="title"))
    categories = Category.objects.annotate(a=ArraySubquery(objects))
    values = dict(categories.values_list("pk", "a"))
    assert values == dict(categories.values_list("pk", "a").delayed().compute())
    assert values == {row.pk: row.a for row in categories} == {row.pk: row.a for row in categories.delayed().compute()}
    with psycopg.connect(live_service.database_url) as connection:
        titles = [title for (title,) in connection.execute("SELECT title FROM shop_product ORDER BY id")]
        matches = connection.execute(
            "SELECT id FROM shop_product WHERE to_tsvector('english', title) @@ to_tsquery('lamp | atlas')"
        )
        keys = {key for (key,) in matches}
    assert found == {"x": titles[::-1], "y": "'; --".join(titles)}
    assert sorted(item["title"] for items in values.values() for item in items) == sorted(titles)
    assert {row.pk for row in ranked} == keys != set()
