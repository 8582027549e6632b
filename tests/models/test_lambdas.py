"""Querysets of mirrors in lambdas: recorded if they contain the placeholder, sent at once otherwise."""

from __future__ import annotations

import pytest
from django.db.models import Count, Q

from django_rpc import cond, delayed
from django_rpc.graph.delayed.delayed import Delayed

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])

ASKED = {
    "count": lambda m, c: m.Order.objects.filter(customer=c).count(),
    "exists": lambda m, c: m.Order.objects.filter(Q(customer=c)).exists(),
    "get by argument": lambda m, c: m.Customer.objects.get(pk=c.pk).name,
    "first": lambda m, c: m.Order.objects.filter(customer=c).order_by("pk").first(),
    "last": lambda m, c: m.Order.objects.filter(customer_id=c.pk).order_by("pk").last(),
    "item": lambda m, c: cond(m.Order.objects.filter(customer=c).exists(), m.Order.objects.filter(customer=c)[0], None),
    "aggregate": lambda m, c: m.Order.objects.filter(customer=c).aggregate(n=Count("pk")),
    "latest": lambda m, c: cond(
        m.Order.objects.filter(customer=c).exists(), m.Order.objects.filter(customer=c).latest("pk"), None
    ),
    "the query": lambda m, c: m.Order.objects.filter(customer=c).order_by("pk"),
    "nested as SQL": lambda m, c: m.Line.objects.filter(order__in=m.Order.objects.filter(customer=c)).count(),
    "in a container": lambda m, c: [m.Order.objects.filter(customer=c).count(), {"n": c.name}],
}
HERE = {
    **ASKED,
    "item": lambda m, c: m.Order.objects.filter(customer=c).first(),
    "latest": lambda m, c: m.Order.objects.filter(customer=c).order_by("-pk").first(),
}


def plain(value):
    if isinstance(value, list):
        return [plain(item) for item in value]
    if hasattr(value, "_meta"):
        return value.pk
    return [item.pk for item in value] if hasattr(value, "query") else value


@pytest.mark.parametrize("name", ASKED)
def test_map_equals_loop(shop_data, local, remote, messages, name):
    with messages() as sent:
        written = remote.Customer.objects.order_by("pk").map(lambda c: ASKED[name](remote, c))
        assert not sent.captured_queries
        found = written.compute()
    assert len(sent) == 1
    assert plain(found) == [plain(HERE[name](local, c)) for c in local.Customer.objects.order_by("pk")]


def test_methods_of_managers_and_querysets(shop_data, remote):
    names = remote.Customer.objects.filter(tier="vip").order_by("pk").map(lambda c: c.name).compute()
    assert names == list(remote.Customer.objects.filter(tier="vip").order_by("pk").values_list("name", flat=True))
    few = remote.Customer.objects.filter_by(lambda c: c.orders.count() > 3)
    assert all(isinstance(customer, remote.Customer) for customer in few.compute())
    assert few.len().compute() == len(few.compute())


def test_query_without_placeholder_is_sent(shop_data, remote, messages):
    with messages() as sent:
        lambdas = remote.Customer.objects.map(lambda c: c.pk + remote.Order.objects.count())
    assert len(sent) == 1
    assert isinstance(lambdas, Delayed)
    assert remote.Order.objects.filter(customer=1).count() == 2


WRONG = {
    "iterated": lambda m, c: list(m.Order.objects.filter(customer=c)),
    "tested": lambda m, c: 1 if m.Order.objects.filter(customer=c) else 2,
    "counted by len": lambda m, c: len(m.Order.objects.filter(customer=c)),
    "an attribute tested": lambda m, c: c.name and 1,
    "an attribute iterated": lambda m, c: list(c.orders),
    "unpacked": lambda m, c: [*c.name],
    "in an f-string": lambda m, c: f"{c.name}!",
    "in": lambda m, c: 3 in c.orders,
    "not": lambda m, c: not c.active,
}


@pytest.mark.parametrize("name", WRONG)
def test_value_needed_in_lambda_is_refused(remote, messages, name):
    with messages() as sent, pytest.raises(TypeError, match=r"lambda|not known yet"):
        remote.Customer.objects.map(lambda c: WRONG[name](remote, c))
    assert not sent.captured_queries


@pytest.mark.parametrize("name", ["tested", "an attribute tested", "not"])
def test_branching_names_cond(remote, name):
    with pytest.raises(TypeError, match=r"cond\(test, then, otherwise\)"):
        remote.Customer.objects.map(lambda c: WRONG[name](remote, c))


def test_a_placeholder_does_not_leave_its_lambda(remote, messages):
    kept = []
    remote.Customer.objects.map(lambda c: kept.append((c.name, remote.Order.objects.filter(customer=c))) or 1)
    name, orders = kept[0]
    for use in (name.compute, orders.count, lambda: list(orders), lambda: delayed([name]).compute()):
        with messages() as sent, pytest.raises(TypeError, match="only within its"):
            use()
        assert not sent.captured_queries


def test_writes(shop_data, local, remote):
    with pytest.raises(TypeError, match="does not depend on the element"):
        remote.Customer.objects.map(lambda c: remote.Tag.objects.delayed().create(name="x"))
    some = remote.Customer.objects.order_by("pk")[:3]
    assert some.map(lambda c: remote.Order.objects.filter(customer=c).update(status="paid")).compute() == [2, 0, 0]
    assert some.map(lambda c: remote.Tag.objects.create(name=c.email).name).compute() == [
        c.email for c in local.Customer.objects.order_by("pk")[:3]
    ]
    total = remote.Order.objects.delayed().create(customer_id=1, total=7).total
    assert some.map(lambda c: c.pk + total).compute() == [8, 9, 10]


def test_nesting_is_bounded(remote):
    def nest(c, depth):
        return c.orders.map(lambda o: nest(o.customer, depth - 1)) if depth else c.pk

    remote.Customer.objects.map(lambda c: nest(c, 7))
    with pytest.raises(TypeError, match="at most 8 deep"):
        remote.Customer.objects.map(lambda c: nest(c, 8))


def test_a_local_function_in_a_lambda_gets_instances(shop_data, local, remote, messages):
    def greet(customer, greeting):
        assert isinstance(customer, remote.Customer)
        return f"{greeting} {customer.name}"

    made = remote.Customer.objects.filter(tier="vip").order_by("pk").map(lambda c: delayed(greet)(c, "Dear"))
    with messages() as sent:
        found = made.compute()
    assert len(sent) == 1
    assert found == [f"Dear {c.name}" for c in local.Customer.objects.filter(tier="vip").order_by("pk")]


def test_two_maps_instead_of_refused_map(shop_data, local, remote, messages):
    customers = remote.Customer.objects.order_by("pk")[:5]
    at_once = customers.map(lambda c: delayed(str)(remote.Order.objects.filter(customer=c).count()))
    with pytest.raises(TypeError, match="Write two maps"):
        at_once.compute()
    counts = customers.map(lambda c: remote.Order.objects.filter(customer=c).count())
    with messages() as sent:
        found = counts.map(lambda count: delayed(str)(count)).compute()
    assert len(sent) == 1
    assert found == [str(c.orders.count()) for c in local.Customer.objects.order_by("pk")[:5]]
