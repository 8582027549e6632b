"""Each line of the first example of our user, in its form, and the messages that it sends."""

from __future__ import annotations

import contextlib
from decimal import Decimal

import pytest
from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import connections
from django.db.models import Count, F, Q, Subquery, Sum
from django.db.models.functions import Coalesce

from django_rpc.client.futures import Future
from django_rpc.graph.delayed.delayed import Delayed, compute

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


@pytest.fixture
def rows(request, local, db):
    """Three rows; two of them have the some_field of the example."""
    if "shop_data" in request.fixturenames:  # its rows have keys from 1 on
        request.getfixturevalue("shop_data")
    local.ServerModel.objects.bulk_create(
        [
            local.ServerModel(some_field="123", other_field=0),
            local.ServerModel(some_field="123", other_field=1),
            local.ServerModel(some_field="other", other_field=7),
        ]
    )
    return list(local.ServerModel.objects.order_by("-pk")[:3])[::-1]


@pytest.fixture
def model(remote):
    return remote.ClientModel


@pytest.fixture
def options(monkeypatch):
    """The options of each message, as it is sent, awaited or not."""
    from django_rpc.client.session import Session

    seen = []

    class Spy:
        def __init__(self, transport):
            self.transport = transport

        def send(self, data, request_id, options, **more):
            seen.append((options.timeout, options.priority))
            return self.transport.send(data, request_id, options, **more)

    transport = Session.transport
    monkeypatch.setattr(Session, "transport", property(lambda session: Spy(transport.fget(session))))
    return seen


@pytest.fixture
def counted(options):
    """``with counted() as sent: ...``: one entry for each message that was sent."""

    @contextlib.contextmanager
    def count():
        options.clear()
        yield options

    return count


def test_get(model, rows, messages):
    with messages() as sent:
        found = model.objects.filter(some_field="123").exclude(other_field=1).get()
    assert (type(found), found.pk, len(sent)) == (model, rows[0].pk, 1)


def test_future_submit_result(model, rows, counted):
    with counted() as sent:
        qs = model.objects.future().filter(some_field="123")
        assert len(sent) == 0
        f1 = qs.submit()
        assert len(sent) == 1
        result = f1.result(timeout=10)
        items = list(result)
        assert bool(result) is True
        assert len(result) == 2
        assert result[0] == items[0]
        assert f1.result() is result
        assert f1.done()
    assert len(sent) == 1
    assert [type(item) for item in items] == [model, model]
    assert {item.pk for item in items} == {rows[0].pk, rows[1].pk}
    empty = model.objects.future().filter(some_field="nothing").submit().result()
    assert bool(empty) is False
    # The evaluated queryset is a queryset, which can be refined further.
    assert result.filter(other_field=1).count() == 1


def test_a_future_queryset_can_be_built_further_and_iterated_over(model, rows, counted):
    with counted() as sent:
        qs = (
            model.objects.future()
            .filter(some_field="123")
            .order_by("-other_field")
            .values_list("other_field", flat=True)
        )
        assert list(qs.submit().result()) == [1, 0]
        assert len(sent) == 1
        assert list(qs) == [1, 0]
        assert bool(qs) is True
        assert len(sent) == 1, "the queryset that was submitted is filled"
        assert list(qs.all()) == [1, 0]
        assert len(sent) == 2


TERMINALS = {
    "first": (lambda o: o.filter(some_field="123").order_by("pk").future().first(), 0),
    "last": (lambda o: o.order_by("pk").future().last(), 2),
    "get": (lambda o: o.future().get(other_field=7), 2),
    "get Q": (lambda o: o.future().get(Q(other_field=7) | Q(other_field=8)), 2),
    "earliest": (lambda o: o.future().earliest("other_field"), 0),
    "latest": (lambda o: o.future().latest("other_field", "pk"), 2),
}


@pytest.mark.parametrize("name", TERMINALS)
def test_future_of_row(name, model, rows, counted):
    ask, place = TERMINALS[name]
    with counted() as sent:
        future = ask(model.objects)
        assert isinstance(future, Future)
        item = future.result(timeout=10)
    assert len(sent) == 1
    assert (type(item), item.pk, item.some_field) == (model, rows[place].pk, rows[place].some_field)


def test_future_of_values(model, rows, counted):
    objects = model.objects.filter(some_field="123").future()
    with counted() as sent:
        asked = {
            "count": (objects.count(), 2),
            "exists": (objects.exists(), True),
            "aggregate": (objects.aggregate(Sum("other_field"), n=Count("pk")), {"other_field__sum": 1, "n": 2}),
            "in_bulk": (objects.in_bulk([rows[0].pk]), {rows[0].pk: model(pk=rows[0].pk)}),
            "contains": (objects.contains(model(pk=rows[2].pk)), False),
            "first of none": (objects.filter(pk=-1).first(), None),
            "call": (model.objects.future().call("manager_function", 1, 2), None),
        }
        assert all(isinstance(future, Future) for future, _ in asked.values())
        for name, (future, expected) in asked.items():
            if name != "call":
                assert future.result() == expected, name
    assert len(sent) == len(asked)
    assert asked["call"][0].result()["sum"] == 3


def test_future_writes(model, local, rows, counted):
    objects = model.objects.future()
    with counted() as sent:
        made = objects.create(some_field="made").result()
        got, created = objects.get_or_create(some_field="made").result()
        up, updated = objects.update_or_create(some_field="made", defaults={"other_field": 5}).result()
        assert objects.filter(some_field="made").update(other_field=F("other_field") + 1).result() == 1
        assert objects.filter(some_field="made").getset(other_field=9).result() == [{"id": made.pk, "other_field": 6}]
        deleted = objects.filter(some_field="made").delete().result()
    assert len(sent) == 6
    assert [type(item) for item in (made, got, up)] == [model] * 3
    assert (made, created, updated, up.other_field) == (got, False, False, 5)
    assert made._state.adding is False
    assert made._state.db == "rpc"
    assert deleted == (1, {"seed_client.ClientModel": 1})
    assert local.ServerModel.objects.count() == 3


def test_errors_of_futures(model, remote, rows, shop_data, counted):
    with counted() as sent:
        for wrong in (
            lambda: model.objects.future().get(nothing=1),
            lambda: model.objects.future().filter(nothing=1),
            lambda: model.objects.future().aggregate(Sum("nothing")),
            lambda: model.objects.future().latest("nothing"),
        ):
            with pytest.raises(FieldError, match="nothing"):
                wrong()
        with pytest.raises(TypeError, match="nothing"):
            model.objects.future().create(nothing=1)
        with pytest.raises(FieldError, match="nothing"):
            model.objects.future().get_or_create(defaults={"nothing": 1}, some_field="a")
        with pytest.raises(FieldDoesNotExist, match="nothing"):
            model.objects.future().update(nothing=1)
        assert len(sent) == 0
        future = model.objects.future().get(pk=-1)
        with pytest.raises(model.DoesNotExist):
            future.result()
        assert isinstance(future.exception(), model.DoesNotExist)
        with pytest.raises(remote.CustomerCard.DoesNotExist):  # the second mirror of its model
            remote.CustomerCard.objects.future().get(pk=-1).result()
        with pytest.raises(remote.CustomerCard.MultipleObjectsReturned):
            remote.CustomerCard.objects.future().get().result()


def test_gather(model, rows, counted):
    f1 = model.objects.future().filter(some_field="123").submit()
    f2 = model.objects.filter(some_field="123").future().order_by("pk").first()
    with counted() as sent:
        result1, result2 = connections["rpc"].cursor().gather(f1, f2)
    assert len(sent) == 0
    assert len(list(result1)) == 2
    assert result2.pk == rows[0].pk


def test_gather_sends_all_that_is_unsent_at_once(model, remote, local, rows, shop_data, counted):
    local.ServerModel.objects.exclude(pk__in=[row.pk for row in rows]).delete()
    with counted() as sent:
        already = model.objects.future().count()
        before = len(sent)
        results = (
            connections["rpc"]
            .cursor()
            .gather(
                already,
                model.objects.future().filter(some_field="123"),
                model.objects.filter(other_field=7).delayed(),
                model.objects.delayed().filter(some_field="123").count(),
                model.objects.order_by("pk").values_list("pk", flat=True),
                remote.Customer.objects.prefetch_related("orders__lines").filter(pk__lt=3),
                remote.Customer.objects.delayed().count() + 1,
                timeout=5,
                priority=True,
            )
        )
        assert len(sent) - before == 1
        count, queryset, delayed, number, keys, customers, more = results
        assert (count, len(queryset), number, more) == (3, 2, 2, 41)
        assert [item.other_field for item in delayed] == [7]
        assert list(keys) == [row.pk for row in rows]
        assert all(order.lines.all() is not None for customer in customers for order in customer.orders.all())
        assert len(sent) - before == 1
    with pytest.raises(TypeError, match=r"gather\(\) takes futures, querysets of mirror models and Delayed, not int"):
        connections["rpc"].cursor().gather(1)
    assert connections["rpc"].cursor().gather() == []


def test_delayed(model, rows, messages):
    d = model.objects.filter(some_field="123").values("pk").delayed()
    assert isinstance(d, Delayed)
    with messages() as sent:
        ids = d.compute()
        assert list(ids) == [{"pk": rows[0].pk}, {"pk": rows[1].pk}]
        other_items = model.objects.filter(pk__in=d)
        assert len(sent) == 1
        assert {item.pk for item in other_items} == {rows[0].pk, rows[1].pk}
    assert len(sent) == 2


def statements(sent):
    return [text for message in sent.captured_queries for text in message["statements"] if "SELECT" in text]


NESTED = {
    "delayed": lambda m, d: m.objects.filter(pk__in=d),
    "plain": lambda m, d: m.objects.filter(pk__in=m.objects.filter(some_field="123").values("pk")),
    "plain without values": lambda m, d: m.objects.filter(pk__in=m.objects.filter(some_field="123")),
    "Q": lambda m, d: m.objects.filter(Q(pk__in=d) | Q(pk=-1)),
    "deep Q": lambda m, d: m.objects.filter(Q(Q(pk=-1) | ~Q(~Q(pk__in=d) & Q(some_field="123")), some_field="123")),
    "exclude": lambda m, d: m.objects.exclude(~Q(pk__in=d)),
    "Subquery": lambda m, d: m.objects.filter(pk__in=Subquery(m.objects.filter(some_field="123").values("pk"))),
    "future queryset": lambda m, d: m.objects.filter(pk__in=m.objects.future().filter(some_field="123").values("pk")),
    "sent future": lambda m, d: m.objects.filter(
        pk__in=m.objects.future().filter(some_field="123").values("pk").submit()
    ),
    "in a delayed chain": lambda m, d: m.objects.delayed().filter(pk__in=d),
    "list of delayed": lambda m, d: m.objects.filter(pk__in=[d[0]["pk"], d[1]["pk"]]),
    "delayed of a list": lambda m, d: m.objects.filter(
        pk__in=m.objects.delayed().filter(some_field="123").values("pk")
    ),
}


@pytest.mark.parametrize("name", NESTED)
def test_nested(name, model, rows, messages):
    d = model.objects.filter(some_field="123").order_by("pk").values("pk").delayed()
    query = NESTED[name](model, d)
    with messages() as sent:
        found = query.compute() if isinstance(query, Delayed) else list(query)
    assert {item.pk for item in found} == {rows[0].pk, rows[1].pk}
    assert len(sent) == 1
    if name != "list of delayed":
        assert len(statements(sent)) == 1, "nested as SQL"


def test_delayed_and_futures_as_arguments(model, remote, local, rows, shop_data, counted):
    customers = remote.Customer.objects
    with counted() as sent:
        order = remote.Order.objects.create(customer=customers.order_by("pk").delayed().first(), total=5)
        assert len(sent) == 1
        assert (order.customer_id, order.total, order.customer.pk) == (1, 5, 1)
    first = customers.future().order_by("pk").first()
    with counted() as sent:
        assert remote.Order.objects.filter(customer=first).count() == local.Order.objects.filter(customer=1).count()
        product = remote.Product.objects.delayed().get(pk=1)
        line = remote.Line.objects.create(order=order, product=product, price=product.price)
        assert (line.product_id, line.price) == (1, local.Product.objects.get(pk=1).price)
        remote.Order.objects.filter(pk=order.pk).update(customer=customers.delayed().get(pk=2))
        got, _ = remote.Profile.objects.get_or_create(
            customer=customers.delayed().get(pk=3), defaults={"bio": customers.delayed().get(pk=3).name}
        )
        assert len(sent) == 4
    assert local.Order.objects.get(pk=order.pk).customer_id == 2
    assert got.customer_id == 3
    highest = remote.Order.objects.delayed().aggregate(t=Sum("total"))["t"]
    assert remote.Order.objects.filter(total__lte=highest).count() == local.Order.objects.count()
    assert remote.Customer.objects.annotate(v=Coalesce(F("credit"), highest)).count() == 40
    written = remote.Order.objects.future().create(customer=first, total=9)
    assert remote.Line.objects.filter(order=written).count() == 0
    assert local.Order.objects.filter(total=9).count() == 1, "a write is not written again"


def test_a_delayed_in_every_write(remote, local, shop_data, counted):
    order = local.Order.objects.create(customer_id=1, total=1)
    price = remote.Product.objects.delayed().order_by("-price").first().price
    highest = local.Product.objects.order_by("-price").first().price
    mirror = remote.Order.objects.get(pk=order.pk)
    with counted() as sent:
        mirror.total = price
        mirror.save()
        assert mirror.total == highest
        (bulk,) = remote.Order.objects.bulk_create([remote.Order(customer_id=1, number="n-1", total=price)])
        mirror.total = price + 1
        remote.Order.objects.bulk_update([mirror], ["total"])
        made = remote.Order.objects.future().create(customer_id=1, total=price).result()
    assert len(sent) == 4
    assert made.total == highest
    assert local.Order.objects.get(pk=bulk.pk).total == highest
    assert local.Order.objects.get(pk=order.pk).total == highest + 1


def test_call(model, rows, messages):
    with messages() as sent:
        result = model.objects.call("manager_function", 1, 2, a=3, b=4)
    assert len(sent) == 1
    assert result == {"x": 1, "y": 2, "a": 3, "b": 4, "sum": 10, "rows": 3, "total": 8}
    one = model.objects.delayed().filter(other_field=1).count()
    assert model.objects.call("manager_function", one, model.objects.future().count(), b=Decimal("0.5"))["sum"] == 4.5
    with pytest.raises(AttributeError, match="not_exposed"):
        model.objects.call("not_exposed")
    with pytest.raises(AttributeError, match="delete"):
        model.objects.call("delete")
    with pytest.raises(ValueError, match="not a valid name"):
        model.objects.call("__class__")
    with pytest.raises(TypeError):
        model.objects.call("manager_function")


def test_options_of_a_call(model, rows, options):
    hurried = model.objects.with_options(priority=True, timeout=5)
    list(hurried.filter(some_field="123"))
    hurried.count()
    hurried.exclude(pk=1).first()
    hurried.create(some_field="x")
    hurried.bulk_create([model(some_field="y")])
    hurried.filter(some_field="x").update(other_field=3)
    hurried.filter(some_field="x").delete()
    hurried.get_or_create(some_field="123", other_field=0)
    hurried.future().count().result()
    hurried.future().create(some_field="z").result()
    hurried.future().submit().result()
    hurried.compute()
    list(hurried.prefetch_related(None))
    hurried.aggregate(Count("pk"))
    hurried.delayed().count().compute(priority=True, timeout=5)
    hurried.call("manager_function", 1, 2)
    assert set(options) == {(5.0, True)}
    options.clear()
    model.objects.with_options(timeout=5).with_options(priority=True).count()
    model.objects.filter(pk=1).compute(priority=True, timeout=5)
    model.objects.future().submit(priority=True, timeout=5).result()
    connections["rpc"].cursor().gather(model.objects.all(), priority=True, timeout=5)
    compute(model.objects.all(), model.objects.delayed().count(), priority=True, timeout=5)
    hurried.filter(pk=-1).exists()
    assert set(options) == {(5.0, True)}
    options.clear()
    model.objects.count()
    model.objects.delayed().count().compute(priority=True)
    assert options == [(10.0, False), (10.0, True)]


def test_wrong_options(model):
    with pytest.raises(ValueError, match=r"(?i)time-?out"):
        model.objects.with_options(timeout=-1).count()
    with pytest.raises(TypeError):
        model.objects.with_options(urgent=True)
