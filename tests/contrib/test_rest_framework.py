"""Django REST framework and django-filter on mirrors: the same answers as on the models."""

from __future__ import annotations

import pytest

pytest.importorskip("rest_framework")
pytest.importorskip("django_filters")

import django_filters
from django.urls import include, path
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import filters, pagination, routers, serializers, viewsets

from django_rpc.demo.client.shop import models as remote_models
from django_rpc.demo.server.shop import models as local_models

pytestmark = [pytest.mark.django_db(databases=["default", "rpc"]), pytest.mark.urls(__name__)]


class Pages(pagination.PageNumberPagination):
    page_size = 10


class Cursor(pagination.CursorPagination):
    page_size = 10
    ordering = "pk"


def serializers_of(models):
    class LineSerializer(serializers.ModelSerializer):
        class Meta:
            model = models.Line
            fields = ["id", "product", "quantity", "price"]

    class OrderSerializer(serializers.ModelSerializer):
        customer_name = serializers.CharField(source="customer.name", read_only=True)
        lines = LineSerializer(many=True, required=False)

        class Meta:
            model = models.Order
            fields = ["id", "number", "customer", "customer_name", "status", "created", "total", "lines"]

        def create(self, data):
            lines = data.pop("lines", [])
            order = super().create(data)
            for line in lines:
                models.Line.objects.create(order=order, **line)
            return order

    class ProductSerializer(serializers.ModelSerializer):
        class Meta:
            model = models.Product
            fields = "__all__"

    class CategorySerializer(serializers.ModelSerializer):
        class Meta:
            model = models.Category
            fields = "__all__"

    class NestedSerializer(serializers.ModelSerializer):
        class Meta:
            model = models.Product
            fields = ["sku", "category", "tags"]
            depth = 1

    class CustomerSerializer(serializers.ModelSerializer):
        orders = serializers.SlugRelatedField("number", many=True, read_only=True)

        class Meta:
            model = models.Customer
            exclude = ["secret_note"] if hasattr(models.Customer, "secret_note") else []
            fields = None if exclude else "__all__"

    return OrderSerializer, ProductSerializer, CategorySerializer, NestedSerializer, CustomerSerializer


def filterset_of(models):
    class OrderFilter(django_filters.FilterSet):
        customer_name = django_filters.CharFilter(field_name="customer__name", lookup_expr="icontains")
        big = django_filters.BooleanFilter(method="is_big")
        created = django_filters.DateFromToRangeFilter()
        product = django_filters.ModelMultipleChoiceFilter(field_name="products", queryset=models.Product.objects.all())
        o = django_filters.OrderingFilter(fields=["total", "number"])

        class Meta:
            model = models.Order
            fields = {"status": ["exact", "in"], "total": ["gte", "lt"], "customer": ["exact"]}

        def is_big(self, queryset, name, value):
            return queryset.filter(total__gte=1000) if value else queryset.filter(total__lt=1000)

    return OrderFilter


def router_of(models):
    order, product, category, nested, _ = serializers_of(models)

    class Orders(viewsets.ModelViewSet):
        queryset = models.Order.objects.select_related("customer").prefetch_related("lines").order_by("pk")
        serializer_class = order
        pagination_class = Pages
        filter_backends = [DjangoFilterBackend, filters.SearchFilter, filters.OrderingFilter]
        filterset_class = filterset_of(models)
        search_fields = ["number", "customer__name"]
        ordering_fields = ["total", "number"]

    class Products(viewsets.ModelViewSet):
        queryset = models.Product.objects.prefetch_related("tags").order_by("pk")
        serializer_class = product
        filter_backends = [DjangoFilterBackend]
        filterset_fields = ["category", "tags"]

    class Nested(viewsets.ReadOnlyModelViewSet):
        queryset = models.Product.objects.select_related("category").prefetch_related("tags").order_by("pk")
        serializer_class = nested
        pagination_class = Cursor

    class Categories(viewsets.ModelViewSet):
        queryset = models.Category.objects.order_by("pk")
        serializer_class = category

    router = routers.SimpleRouter()
    router.register("orders", Orders)
    router.register("products", Products)
    router.register("nested", Nested, basename="nested")
    router.register("categories", Categories)
    return router


urlpatterns = [
    path("local/", include((router_of(local_models).urls, "local"))),
    path("remote/", include((router_of(remote_models).urls, "remote"))),
]


@pytest.fixture
def api(shop_data, settings):
    from rest_framework.test import APIClient

    settings.ALLOWED_HOSTS = ["*"]
    return APIClient()


def same(one, other):
    """Both answers, with the address of the one in the place of the other's."""
    assert other.status_code == one.status_code
    assert other.content.decode().replace("/remote/", "/local/") == one.content.decode()
    return other


def test_fields_of_serializers_are_those_of_the_models():
    for one, other in zip(serializers_of(local_models), serializers_of(remote_models), strict=True):
        assert repr(other()).replace("RpcQuerySet", "QuerySet") == repr(one()).replace("secret_note", "")


@pytest.mark.parametrize(
    "url",
    [
        "orders/",
        "orders/?page=2",
        "orders/?page=99",
        "orders/3/",
        "orders/99999/",
        "orders/?search=adler",
        "orders/?ordering=-total",
        "orders/?status=paid",
        "orders/?status__in=paid,new&total__gte=500",
        "orders/?status=nothing",
        "orders/?customer=3",
        "orders/?customer=99999",
        "orders/?customer_name=ad",
        "orders/?big=true",
        "orders/?created_after=2024-03-01&created_before=2024-09-01",
        "orders/?product=1&product=2",
        "orders/?o=-total",
        "products/",
        "products/?category=2",
        "products/?tags=1&tags=2",
        "nested/",
        "categories/",
    ],
)
def test_answers_are_those_of_the_models(api, url):
    response = same(api.get(f"/local/{url}"), api.get(f"/remote/{url}"))
    assert response.status_code == (
        404 if "9999" in url.partition("?")[0] or "page=99" in url else response.status_code
    )


def test_a_cursor_leads_on(api):
    one, other = (api.get(f"/{end}/nested/").json() for end in ("local", "remote"))
    assert one["next"]
    same(api.get(one["next"]), api.get(other["next"]))


def test_messages_of_a_page(api, messages):
    with messages() as sent:
        assert len(api.get("/remote/orders/").json()["results"]) == 10
    assert len(sent) == 2  # how many there are, and the page with customers and lines


def test_writes(api):
    order = {"number": "N-1", "customer": 3, "status": "new", "total": "5.00", "created": "2025-01-01T00:00:00Z"}
    created = api.post(
        "/remote/orders/", {**order, "lines": [{"product": 1, "quantity": 2, "price": "3.00"}]}, format="json"
    )
    assert created.status_code == 201, created.content
    key = created.json()["id"]
    saved = local_models.Order.objects.get(pk=key)
    assert (saved.number, saved.lines.get().quantity) == ("N-1", 2)
    assert api.get(f"/remote/orders/{key}/").json() == api.get(f"/local/orders/{key}/").json()
    assert api.patch(f"/remote/orders/{key}/", {"status": "paid"}, format="json").json()["status"] == "paid"
    saved.refresh_from_db()
    assert saved.status == "paid"
    assert api.delete(f"/remote/orders/{key}/").status_code == 204
    assert not local_models.Order.objects.filter(pk=key).exists()


def test_many_to_many_is_written(api):
    data = {"sku": "S-1", "title": "T", "price": "2.00", "category": 2, "tags": [1, 2], "attributes": {"a": [1, None]}}
    created = api.post("/remote/products/", data, format="json")
    assert created.status_code == 201, created.content
    saved = local_models.Product.objects.get(sku="S-1")
    assert sorted(saved.tags.values_list("pk", flat=True)) == [1, 2]
    assert saved.attributes == {"a": [1, None]}
    api.put(f"/remote/products/{saved.pk}/", {**data, "tags": [3]}, format="json")
    assert list(saved.tags.values_list("pk", flat=True)) == [3]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"number": "N-2", "customer": 99999, "status": "none", "total": "x"},
        {"number": "N" * 40, "customer": 1, "total": "1.234"},
    ],
)
def test_errors_are_those_of_the_model(api, data):
    response = same(*(api.post(f"/{end}/orders/", data, format="json") for end in ("local", "remote")))
    assert response.status_code == 400


def test_unique_validators_query_the_service(api):
    taken = local_models.Category.objects.first().title
    response = same(*(api.post(f"/{end}/categories/", {"title": taken}) for end in ("local", "remote")))
    assert response.json() == {"title": ["category with this title already exists."]}


# django-filter without REST


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"status": "paid", "o": "number"},
        {"status__in": "paid,new", "total__lt": "900"},
        {"customer_name": "ad", "big": "false"},
        {"product": ["1", "3"]},
        {"customer": "x"},
    ],
)
def test_a_filterset(shop_data, data):
    one, other = (filterset_of(models)(data, models.Order.objects.all()) for models in (local_models, remote_models))
    assert other.is_valid() == one.is_valid()
    assert other.errors == one.errors
    assert [order.pk for order in other.qs] == [order.pk for order in one.qs]
    for name in ("status", "status__in", "total__gte", "customer", "customer_name", "product", "o"):
        assert str(other.form[name]) == str(one.form[name])
