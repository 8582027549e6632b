"""A lookup in a list of primary keys from ``map`` becomes a lookup in the query."""

from django_rpc.graph.values import Condition

from .case import Case


def keys(query):
    return query.map(lambda row: row.pk)


def condition(*pairs):
    return Condition(tuple((lookup, getattr(value, "__rpc_node__", lambda v=value: v)()) for lookup, value in pairs))


CASES = {
    "filter": Case(
        lambda shop: [shop.Order.filter(customer__in=keys(shop.Customer.filter(tier="vip"))).count()],
        lambda shop: [shop.Order.filter(customer__in=shop.Customer.filter(tier="vip").values("pk")).count()],
    ),
    "exclude": Case(
        lambda shop: [shop.Order.exclude(customer__in=keys(shop.Customer.filter(tier="vip"))).count()],
        lambda shop: [shop.Order.exclude(customer__in=shop.Customer.filter(tier="vip").values("pk")).count()],
    ),
    "get": Case(
        lambda shop: [shop.Customer.get(pk=1, pk__in=keys(shop.Customer.filter(pk__lt=3))).pk],
        lambda shop: [shop.Customer.get(pk=1, pk__in=shop.Customer.filter(pk__lt=3).values("pk")).pk],
    ),
    "inside a condition": Case(
        lambda shop: [
            shop.Order.filter(condition(("customer__in", keys(shop.Customer.filter(pk__lt=9))), ("pk__gt", 3))).count()
        ],
        lambda shop: [
            shop.Order.filter(
                condition(("customer__in", shop.Customer.filter(pk__lt=9).values("pk")), ("pk__gt", 3))
            ).count()
        ],
    ),
    "a lookup in a nested lookup": Case(
        lambda shop: [
            shop.Line.filter(
                order__in=keys(shop.Order.filter(customer__in=keys(shop.Customer.filter(tier="vip"))))
            ).count()
        ],
        lambda shop: [
            shop.Line.filter(
                order__in=shop.Order.filter(customer__in=shop.Customer.filter(tier="vip").values("pk")).values("pk")
            ).count()
        ],
    ),
    "a slice is not nested": Case(
        lambda shop: [shop.Order.filter(customer__in=keys(shop.Customer.order_by("pk")[:3])).count()]
    ),
    "another field is not nested": Case(
        lambda shop: [shop.Order.filter(number__in=shop.Customer.filter(pk__lt=5).map(lambda row: row.name)).count()]
    ),
    "a map with errors of elements is not nested": Case(
        lambda shop: [
            shop.Order.filter(
                customer__in=shop.Customer.filter(pk__lt=5).map(lambda row: row.pk, return_exceptions=True)
            ).count()
        ]
    ),
    "another lookup is not nested": Case(
        lambda shop: [shop.Order.filter(customer__gt=keys(shop.Customer.filter(pk__lt=5)).max()).count()]
    ),
}
