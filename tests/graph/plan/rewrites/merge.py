"""Equal reads become one node."""

from .case import Case


def twice(value):
    return [value, value]


CASES = {
    "equal reads": Case(
        lambda shop: [shop.Order.filter(pk__gt=3).count(), shop.Order.filter(pk__gt=3).count()],
        lambda shop: twice(shop.Order.filter(pk__gt=3).count()),
    ),
    "equal queries of different reads": Case(
        lambda shop: [shop.Order.filter(pk__gt=3).count(), shop.Order.filter(pk__gt=3).exists()],
        lambda shop: [(query := shop.Order.filter(pk__gt=3)).count(), query.exists()],
    ),
    "equal arguments": Case(
        lambda shop: [
            shop.Order.filter(customer__in=shop.Customer.filter(tier="vip")).count(),
            shop.Order.exclude(customer__in=shop.Customer.filter(tier="vip")).count(),
        ],
        lambda shop: [
            (orders := shop.Order).filter(customer__in=(vip := shop.Customer.filter(tier="vip"))).count(),
            orders.exclude(customer__in=vip).count(),
        ],
    ),
    "equal lambdas": Case(
        lambda shop: [shop.Order.filter(pk__lt=4).map(lambda row: row.total * 2) for _ in range(2)],
        lambda shop: twice(shop.Order.filter(pk__lt=4).map(lambda row: row.total * 2)),
    ),
    "reads before and after a write": Case(
        lambda shop: [
            shop.Tag.count(),
            shop.Tag.count(),
            shop.Tag.create(name="unseen").name,
            shop.Tag.count(),
            shop.Tag.count(),
        ],
        lambda shop: [*twice((tags := shop.Tag).count()), tags.create(name="unseen").name, *twice(tags.count())],
    ),
    "a query before and after a write is the same query": Case(
        lambda shop: [
            shop.Tag.filter(name="unseen").count(),
            shop.Tag.create(name="unseen").name,
            shop.Tag.filter(name="unseen").count(),
        ],
        lambda shop: [
            (query := (tags := shop.Tag).filter(name="unseen")).count(),
            tags.create(name="unseen").name,
            query.count(),
        ],
    ),
    "equal writes are two writes": Case(
        lambda shop: [(orders := shop.Order.filter(pk=1)).update(total=5), orders.update(total=5)]
    ),
    "values of equal writes are two values": Case(
        lambda shop: [(tags := shop.Tag).get_or_create(name="unseen")[1], tags.get_or_create(name="unseen")[1]]
    ),
    "a random order is not merged": Case(
        lambda shop: [(orders := shop.Order).order_by("?").count(), orders.order_by("?").count()]
    ),
    "equal numbers of other types are different": Case(
        lambda shop: [
            (orders := shop.Order).filter(pk__gt=1).count(),
            orders.filter(pk__gt=1.0).count(),
            orders.filter(pk__gt=True).count(),
        ]
    ),
}
