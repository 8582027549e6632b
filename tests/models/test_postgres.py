"""``django.contrib.postgres`` on mirrors: values are those of local models on the same database.

``tests/live/test_postgres.py`` runs these tests with a separate PostgreSQL.
"""

from __future__ import annotations

import contextlib
import warnings

import django
import pytest
from django.apps import apps
from django.contrib.postgres.aggregates import (
    ArrayAgg,
    BitAnd,
    BitOr,
    BitXor,
    BoolAnd,
    BoolOr,
    Corr,
    CovarPop,
    JSONBAgg,
    RegrAvgX,
    RegrAvgY,
    RegrCount,
    RegrIntercept,
    RegrR2,
    RegrSlope,
    RegrSXX,
    RegrSXY,
    RegrSYY,
    StringAgg,
)
from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField, HStoreField, IntegerRangeField
from django.contrib.postgres.functions import RandomUUID, TransactionNow
from django.contrib.postgres.lookups import (
    SearchLookup,
    TrigramSimilar,
    TrigramStrictWordSimilar,
    TrigramWordSimilar,
    Unaccent,
)
from django.contrib.postgres.search import (
    SearchConfig,
    SearchHeadline,
    SearchQuery,
    SearchRank,
    SearchVector,
    SearchVectorField,
    TrigramDistance,
    TrigramSimilarity,
    TrigramStrictWordDistance,
    TrigramStrictWordSimilarity,
    TrigramWordDistance,
    TrigramWordSimilarity,
)
from django.contrib.postgres.signals import register_type_handlers
from django.db import NotSupportedError, connection, models
from django.db.models import Exists, F, OuterRef, Q, Value
from django.db.models.functions import Cast, Coalesce, JSONObject

from django_rpc import compute
from django_rpc.models import RpcModel
from django_rpc.server import ModelRpc, site

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])

on_postgresql = pytest.mark.skipif(
    "connection.vendor != 'postgresql'", reason="tests/live/test_postgres.py runs it on PostgreSQL"
)
ORDER = "order_by" if django.VERSION >= (5, 2) else "ordering"


def ordered(*order):
    return {ORDER: order[0] if len(order) == 1 else list(order)}


def words(m):
    return m.Product.objects.order_by("pk")


AGGREGATES = {
    "array": lambda m: m.Product.objects.aggregate(x=ArrayAgg("title", **ordered("-price", F("pk").desc()))),
    "array of a group": lambda m: (
        m.Category.objects.annotate(
            x=ArrayAgg(
                "products__title",
                **ordered("-products__title"),
                filter=Q(products__price__gt=1),
                distinct=True,
                default=Value([]),
            )
        )
        .order_by("pk")
        .values_list("pk", "x")
    ),
    "array of instances": lambda m: [
        (row.pk, row.x)
        for row in m.Category.objects.annotate(x=ArrayAgg("products__price", **ordered("products__pk"))).order_by("pk")
    ],
    "array without rows": lambda m: m.Product.objects.none().aggregate(x=ArrayAgg("title", default=Value(["none"]))),
    "text": lambda m: m.Product.objects.aggregate(x=StringAgg("title", delimiter="'); -- %s \\", **ordered("pk"))),
    "text of a group": lambda m: (
        m.Product.objects.values("category")
        .annotate(x=StringAgg(F("title"), ", ", **ordered("pk")))
        .order_by("category")
    ),
    "filter by an aggregate": lambda m: (
        m.Category.objects.annotate(x=ArrayAgg("products__sku"))
        .filter(x__len__gt=1)
        .order_by("pk")
        .values_list("pk", F("x__len"))
    ),
    "json": lambda m: m.Product.objects.aggregate(x=JSONBAgg("price", **ordered("pk"))),
    "bits": lambda m: m.Product.objects.aggregate(x=BitAnd("pk"), y=BitOr("pk"), z=BitXor("pk")),
    "booleans": lambda m: m.Product.objects.aggregate(x=BoolAnd(Q(price__gt=1)), y=BoolOr(Q(price__gt=10_000))),
    "statistics": lambda m: m.Product.objects.aggregate(
        a=Corr("price", "pk"),
        b=CovarPop("price", "pk", sample=True),
        c=CovarPop("price", "pk"),
        d=RegrCount(y="price", x="pk"),
        e=RegrSlope("price", F("pk") + 1, filter=Q(pk__gt=1)),
        f=RegrAvgX("price", "pk", default=3),
        g=RegrAvgY("price", "pk"),
        h=RegrIntercept("price", "pk"),
        i=RegrR2("price", "pk"),
        j=RegrSXX("price", "pk"),
        k=RegrSXY("price", "pk"),
        l=RegrSYY("price", "pk"),
    ),
    "subquery": lambda m: (
        m.Category.objects.annotate(
            a=ArraySubquery(m.Product.objects.filter(category=OuterRef("pk")).order_by("pk").values("title"))
        )
        .order_by("pk")
        .values_list("pk", "a")
    ),
    "subquery of objects": lambda m: (
        m.Category.objects.annotate(
            a=ArraySubquery(
                m.Product.objects.filter(category=OuterRef("pk")).order_by("pk").values(j=JSONObject(title="title"))
            )
        )
        .order_by("pk")
        .values_list("pk", "a")
    ),
    "subquery of an aggregate": lambda m: (
        m.Category.objects.filter(
            Exists(
                m.Product.objects.filter(category=OuterRef("pk")).values("category").annotate(x=StringAgg("sku", "-"))
            )
        )
        .order_by("pk")
        .values_list("pk")
    ),
}
SEARCHES = {
    "vector": lambda m: (
        words(m)
        .annotate(s=SearchVector("title", "category__title", weight="A", config="english"))
        .filter(s="atlas")
        .values_list("pk", "s")
    ),
    "vector of numbers": lambda m: (
        words(m).annotate(s=SearchVector("price", config=SearchConfig("simple"))).values("s")
    ),
    "configuration of a column": lambda m: words(m).filter(sku="x").annotate(s=SearchVector("title", config=F("sku"))),
    "vectors and queries": lambda m: (
        words(m)
        .annotate(s=SearchVector("title") + SearchVector("sku", weight="B"))
        .filter(
            s=SearchQuery("atlas")
            | ~SearchQuery("novel", search_type="websearch") & SearchQuery("lamp", config="simple")
        )
        .values_list("pk")
    ),
    "not": lambda m: words(m).annotate(s=SearchVector("title")).filter(s=~SearchQuery("atlas")).values_list("pk"),
    "raw": lambda m: (
        words(m).annotate(s=SearchVector("title")).filter(s=SearchQuery("atl:* & !x", search_type="raw")).values("pk")
    ),
    "rank": lambda m: (
        m.Product.objects.annotate(
            r=SearchRank(
                "title", "atlas", weights=[0.1, 0.2, 0.3, 0.4], normalization=Value(2).bitor(4), cover_density=True
            ),
            t=SearchRank(SearchVector("title", weight="D"), SearchQuery("lamp | atlas", search_type="raw")),
        )
        .order_by("-r", "-t", "pk")
        .values_list("pk", "r", "t")
    ),
    "headline": lambda m: (
        words(m)
        .annotate(
            h=SearchHeadline(
                "title",
                SearchQuery("atlas"),
                config="english",
                start_sel="<i' \\ ,>",
                stop_sel='</i">',
                max_words=10,
                min_words=2,
                highlight_all=True,
            ),
            i=SearchHeadline("title", "atlas", short_word=1, max_fragments=2, fragment_delimiter="; "),
        )
        .values_list("h", "i")
    ),
    "trigrams": lambda m: (
        words(m)
        .annotate(
            a=TrigramSimilarity("title", "alas"),
            b=TrigramDistance("title", F("sku")),
            c=TrigramWordSimilarity("alas", "title"),
            d=TrigramWordDistance("alas", "title"),
            e=TrigramStrictWordSimilarity("alas", "title"),
            f=TrigramStrictWordDistance("alas", "title"),
        )
        .values_list("pk", "a", "b", "c", "d", "e", "f")
    ),
    "time": lambda m: [row.n.tzinfo is not None for row in words(m).annotate(n=TransactionNow())],
    "uuid": lambda m: len(set(words(m).annotate(u=RandomUUID()).values_list("u", flat=True))),
    "search": lambda m: words(m).filter(title__search="atlas").values_list("pk"),
    "search for a query": lambda m: words(m).filter(title__search=SearchQuery("lamp", config="english")).values("pk"),
    "similar": lambda m: words(m).filter(title__trigram_similar="Compact Atla").values_list("pk"),
    "similar words": lambda m: (
        words(m)
        .filter(Q(title__trigram_word_similar="alas") | Q(title__trigram_strict_word_similar="atlas"))
        .values_list("pk")
    ),
    "without accents": lambda m: words(m).filter(title__unaccent__icontains="átlás").values_list("pk"),
    "array as an output field": lambda m: (
        words(m)
        .annotate(
            x=Cast(Value("{1,2}"), ArrayField(models.IntegerField())),
            y=Coalesce(Value(None, ArrayField(models.CharField(max_length=9), size=3)), Value(["a", "b"])),
        )
        .values_list("x", "y")
    ),
}


def plain(value):
    return value if isinstance(value, dict | int) else list(value)


@contextlib.contextmanager
def lookups():
    """Register the lookups as the app ``django.contrib.postgres`` does where it is installed."""
    classes = [Unaccent, SearchLookup, TrigramSimilar, TrigramWordSimilar, TrigramStrictWordSimilar]
    pairs = [(field, lookup) for field in (models.CharField, models.TextField) for lookup in classes]
    for field, lookup in pairs:
        field.register_lookup(lookup)
    try:
        yield
    finally:
        for field, lookup in pairs:
            field._unregister_lookup(lookup)


@pytest.fixture
def extensions(db):
    with connection.cursor() as cursor:
        for name in ("pg_trgm", "unaccent", "hstore"):
            cursor.execute(f"CREATE EXTENSION IF NOT EXISTS {name}")
    with lookups():
        yield


@on_postgresql
@pytest.mark.parametrize("name", [*AGGREGATES, *SEARCHES])
def test_values_are_those_of_local_models(name, local, remote, shop_data, extensions):
    query = {**AGGREGATES, **SEARCHES}[name]
    expected = plain(query(local))
    assert plain(query(remote)) == expected
    assert expected or name == "configuration of a column"


@on_postgresql
def test_in_a_graph(local, remote, shop_data):
    names = remote.Product.objects.delayed().aggregate(x=StringAgg("title", "|", **ordered("pk")))["x"]
    rows = (
        remote.Category.objects.delayed()
        .order_by("pk")
        .map(lambda c: remote.Product.objects.filter(category=c).aggregate(x=ArrayAgg("pk", **ordered("pk")))["x"])
    )
    text, arrays = compute(names, rows)
    assert text == "|".join(local.Product.objects.order_by("pk").values_list("title", flat=True))
    assert arrays == [
        list(local.Product.objects.filter(category=c).order_by("pk").values_list("pk", flat=True)) or None
        for c in local.Category.objects.order_by("pk")
    ]


@on_postgresql
def test_ordering_is_the_old_name_of_order_by(local, remote, shop_data):
    if django.VERSION >= (6, 1):
        pytest.skip("Django 6.1 has no argument ordering")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        query = ArrayAgg("title", ordering=["-pk"])
    expected = list(local.Product.objects.order_by("-pk").values_list("title", flat=True))
    assert remote.Product.objects.aggregate(x=query) == {"x": expected}


@pytest.fixture
def parcels(extensions):
    """Return the local model and the mirror of a table with the fields of PostgreSQL."""
    register_type_handlers(connection)
    fields = {
        "labels": lambda: ArrayField(models.CharField(max_length=20), default=list),
        "grid": lambda: ArrayField(ArrayField(models.IntegerField()), null=True),
        "prices": lambda: ArrayField(models.DecimalField(max_digits=6, decimal_places=2), null=True),
        "extra": lambda: HStoreField(default=dict),
        "words": lambda: SearchVectorField(null=True),
    }

    def model(name, base, **options):
        made = {key: field() for key, field in fields.items()}
        meta = type("Meta", (), {"app_label": "zoo"})
        return type(name, (base,), {"__module__": __name__, "Meta": meta, **made, **options})

    Local = model("PgParcel", models.Model)
    rpc = type("Rpc", (), {"app_label": "zoo", "name": "PgParcel"})
    Mirror = model("PgParcelMirror", RpcModel, Rpc=rpc)
    with connection.schema_editor() as editor:
        editor.create_model(Local)

    class ParcelRpc(ModelRpc):
        fields = "__all__"
        operations = {"read", "create", "update", "delete"}

    site.register(Local, ParcelRpc)
    try:
        yield Local, Mirror
    finally:
        site.unregister(Local)
        for made in (Local, Mirror):
            del apps.all_models["zoo"][made._meta.model_name]
        apps.clear_cache()


ROWS = [
    {"labels": ["a", "b"], "grid": [[1, 2], [3, 4]], "prices": ["1.50"], "extra": {"k": "v", "$x": None}},
    {"labels": ["b", "c", "d"], "grid": [], "prices": ["2.00", "3.25"], "extra": {}},
    {"labels": []},
]
PARCELS = {
    "contains": lambda m: m.filter(labels__contains=["b"]),
    "contained": lambda m: m.filter(labels__contained_by=["a", "b", "z"]),
    "overlap": lambda m: m.filter(labels__overlap=["d", "z"]),
    "overlap with a query": lambda m: m.filter(labels__overlap=m.filter(labels__len=2).values("labels")),
    "length": lambda m: m.filter(labels__len__gte=2),
    "item": lambda m: m.filter(labels__1="b"),
    "items": lambda m: m.filter(labels__0_2=["b", "c"]),
    "equal": lambda m: m.filter(labels=["a", "b"]),
    "in": lambda m: m.filter(labels__in=[["a", "b"], []]),
    "nested": lambda m: m.filter(grid__1__0=3),
    "value of an item": lambda m: m.annotate(x=F("labels__0")).values_list("pk", "x", "grid__0"),
    "keys": lambda m: m.filter(extra__has_key="k"),
    "value of a key": lambda m: m.filter(extra__k="v").values_list("extra__k", "extra"),
    "part": lambda m: m.filter(extra__contains={"k": "v"}),
    "words": lambda m: m.filter(words="tea").values_list("pk", "words"),
    "query": lambda m: m.filter(words=SearchQuery("tea | milk", search_type="raw")),
    "array": lambda m: m.annotate(x=ArrayAgg("prices")).filter(pk=1),
}


@on_postgresql
def test_fields(parcels):
    for model in parcels:
        for row in ROWS:
            model.objects.create(**row)
        model.objects.bulk_create([model(labels=["x"], extra={"bulk": "1"})])
        row = model(labels=["y"])
        row.save()
        row.labels, row.extra = ["y", "z"], {"k": "w"}
        row.save()
        model.objects.filter(labels=["x"]).update(labels=["x", "u"], extra={"k": "u"})
    Local, Mirror = parcels
    rows = list(Local.objects.order_by("pk").values("labels", "grid", "prices", "extra"))
    assert rows[:5] == rows[5:]
    Local.objects.filter(pk__lte=Local.objects.order_by("pk")[1].pk).update(words=SearchVector(Value("green tea")))
    fields = [f.attname for f in Local._meta.concrete_fields]
    for name, query in PARCELS.items():
        expected, found = (list(query(model.objects.order_by("pk"))) for model in (Local, Mirror))
        if expected and isinstance(expected[0], models.Model):
            expected, found = ([[getattr(row, f) for f in fields] for row in rows] for rows in (expected, found))
        assert found == expected, name
        assert expected or name == "array", name


@on_postgresql
def test_ranges_are_refused(local, remote, shop_data):
    with pytest.raises(TypeError, match="IntegerRangeField cannot be sent"):
        list(remote.Product.objects.annotate(x=Cast("title", IntegerRangeField())))


@pytest.mark.skipif("connection.vendor == 'postgresql'")
@pytest.mark.parametrize("name", ["array", "bits", "statistics", "vector", "rank", "headline", "uuid", "search"])
def test_other_databases_refuse_them(name, remote, shop_data):
    with lookups(), pytest.raises(NotSupportedError, match="needs PostgreSQL, and this service has another database"):
        plain({**AGGREGATES, **SEARCHES}[name](remote))


@pytest.mark.skipif("connection.vendor == 'postgresql'")
def test_a_service_without_psycopg_refuses_them(run_python):
    code = """
import sys
sys.modules["psycopg"] = sys.modules["psycopg2"] = None
import django
django.setup()
from django.db import NotSupportedError
from django_rpc.graph.values import Expr
from django_rpc.server.query.expressions import Resolver
try:
    Resolver({})(Expr("postgres:ArrayAgg", ("title",)))
except NotSupportedError as error:
    print(error)
"""
    done = run_python(code, env={"DJANGO_SETTINGS_MODULE": "django_rpc.demo.server.settings"})
    assert "ArrayAgg needs PostgreSQL" in done.stdout
