"""Nodes that no output needs are removed."""

from .case import Case

CASES = {
    "a read": Case(
        lambda shop: [(orders := shop.Order.filter(pk__gt=3)).count(), orders.exists()][:1],
        lambda shop: [shop.Order.filter(pk__gt=3).count()],
        lambda shop: [shop.Customer.filter(tier="vip").first().name],
    ),
    "an argument": Case(
        lambda shop: [shop.Order.count()],
        lambda shop: [shop.Order.count()],
        lambda shop: [shop.Order.filter(customer__in=shop.Customer.filter(tier="vip")).count()],
    ),
    "every node is needed": Case(lambda shop: [shop.Order.filter(customer=shop.Customer.get(pk=1)).count()]),
    "a write is needed by its order alone": Case(
        lambda shop: [shop.Tag.create(name="unseen").name, shop.Tag.count()],
    ),
}
