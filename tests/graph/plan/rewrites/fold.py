"""Operators on plain data are calculated; a ``cond`` with a known test becomes its branch."""

from django_rpc import cond, delayed

from .case import Case

CASES = {
    "an operator": Case(
        lambda shop: [shop.Order.filter(pk__gt=delayed(3) + 4).count()],
        lambda shop: [shop.Order.filter(pk__gt=delayed(7)).count()],
    ),
    "an operator on operators": Case(
        lambda shop: [shop.Order.filter(pk__gt=-(delayed(3) - 4) + 1).count()],
        lambda shop: [shop.Order.filter(pk__gt=delayed(2)).count()],
    ),
    "a true test": Case(
        lambda shop: [cond(delayed(3) > 1, shop.Order.count(), shop.Customer.count())],
        lambda shop: [shop.Order.count()],
    ),
    "a false test": Case(
        lambda shop: [cond(delayed(""), shop.Order.count(), shop.Customer.count())],
        lambda shop: [shop.Customer.count()],
    ),
    "a test in a test": Case(
        lambda shop: [cond(cond(delayed(True), delayed(0), shop.Order.exists()), delayed(1), shop.Order.count())],
        lambda shop: [shop.Order.count()],
    ),
    "inside a lambda": Case(
        lambda shop: [shop.Order.filter(pk__lt=4).map(lambda row: row.pk + (delayed(3) + 4))],
        lambda shop: [shop.Order.filter(pk__lt=4).map(lambda row: row.pk + delayed(7))],
    ),
    "an error remains": Case(lambda shop: [shop.Order.filter(pk__gt=delayed("a") + 4).count()]),
    "a large result is not calculated": Case(lambda shop: [delayed("ab") * 3]),
    "a value of a service is not known": Case(
        lambda shop: [cond(shop.Order.exists(), shop.Order.count(), shop.Customer.count()) + 1]
    ),
}
