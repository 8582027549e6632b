"""Maps and reads of equal shape: statements, errors of elements, visible rows, and hostile shapes."""

from __future__ import annotations

import datetime as dt
import time

import pytest
from django.db import connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

import django_rpc
import django_rpc.models.errors
from django_rpc.demo.client.shop import models as mirrors
from django_rpc.demo.server.shop.models import Category, Customer, Order, Product
from django_rpc.graph.delayed.delayed import Output, delayed
from django_rpc.graph.nodes import Attr, Element, IfElse, Item, Literal, Map, Method, Operator, Reduce
from django_rpc.graph.nodes.collections import MAX_DEPTH
from django_rpc.server import ModelRpc
from tests.server.conftest import method, source

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


@pytest.fixture
def thousand(db):
    """1,000 customers: the first has 3 orders, the second 2, the third 1, and so on, over and over."""
    today = dt.date(2024, 1, 1)
    Customer.objects.bulk_create(
        Customer(name=f"c{n}", email=f"{n}@x", city=f"town {n % 7}", joined=today, credit=n % 5) for n in range(1000)
    )
    keys = list(Customer.objects.order_by("pk").values_list("pk", flat=True))
    Order.objects.bulk_create(
        Order(customer_id=key, number=f"{key}-{n}", total=n * 2, status="paid" if n else "new")
        for place, key in enumerate(keys)
        for n in range(3 - place % 4)
    )
    return keys


CUSTOMERS = mirrors.Customer.objects.order_by("pk")
ORDERS = mirrors.Order.objects.delayed()

#: name -> (read of each customer, statements for any number of customers)
MAPS = {
    "count": (lambda c: mirrors.Order.objects.filter(customer=c).count(), 2),
    "count of a relation": (lambda c: c.orders.count(), 2),
    "exists": (lambda c: c.orders.filter(status="paid").exists(), 2),
    "first": (lambda c: c.orders.order_by("total").first(), 2),
    "last": (lambda c: c.orders.last(), 2),
    "item": (lambda c: django_rpc.cond(c.orders.count() > 1, c.orders.order_by("total")[1], None), 3),
    "aggregate": (lambda c: c.orders.aggregate(total=Sum("total")), 2),
    "rows": (lambda c: c.orders.order_by("pk"), 2),
    "slice": (lambda c: c.orders.order_by("-pk")[:2], 2),
    "values": (lambda c: c.orders.order_by("pk").values("number"), 2),
    "compared with a field": (lambda c: c.orders.filter(total__gt=c.credit).count(), 2),
    "first, compared with a field": (lambda c: ORDERS.filter(customer=c, total__gt=c.credit).first(), 3),
    "aggregate, compared with a field": (lambda c: c.orders.filter(total__lt=c.credit).aggregate(n=Sum("total")), 2),
    "a relation to one": (lambda c: c.referred_by, 1),
    "a query within": (lambda c: mirrors.Line.objects.filter(order__in=ORDERS.filter(customer=c)).count(), 2),
    "nested": (lambda c: c.orders.map(lambda o: o.lines.count()).sum(), 3),
    "three deep": (lambda c: c.orders.map(lambda o: o.lines.map(lambda li: li.product.title)), 3),
    "several": (lambda c: (c.name.upper(), c.orders.count(), {"orders": c.orders.order_by("pk")}), 3),
    "filter_by": (lambda c: c.orders.filter_by(lambda o: o.lines.count() == 0).len(), 3),
}


@pytest.mark.parametrize("name", MAPS)
def test_statements_equal_those_of_single_element(thousand, name):
    body, statements = MAPS[name]
    for number in (1, 10, 1000):
        with CaptureQueriesContext(connection) as captured:
            values = CUSTOMERS[:number].map(body).compute()
        assert len(values) == number
        # A single element is evaluated alone: it never needs more statements.
        assert len(captured) == statements or len(captured) < statements * (number == 1), captured.captured_queries
    assert ": loop, " not in CUSTOMERS.map(body).explain()


LOOPS = {
    "get by the key": (lambda key: ORDERS.get(customer=key, total=4), 1),
    "get by a unique field": (lambda key: mirrors.Customer.objects.delayed().get(email=f"{key % 1000}@x"), 1),
    "filter": (lambda key: mirrors.Order.objects.filter(customer=key), 1),
    "filter, as rows": (lambda key: mirrors.Order.objects.filter(customer_id=key).delayed(), 1),
    "count": (lambda key: ORDERS.filter(customer=key, status="paid").count(), 1),
    "exists": (lambda key: ORDERS.filter(status="paid").filter(customer__pk=key).exists(), 1),
    "an attribute": (lambda key: mirrors.Customer.objects.delayed().get(pk=key).referred_by, 1),
    "text": (lambda key: ORDERS.filter(number=f"{key}-0").first(), 1),
}


@pytest.mark.parametrize("name", LOOPS)
def test_map_is_one_message_and_one_statement(thousand, messages, name):
    make, statements = LOOPS[name]
    keys = [key for place, key in enumerate(thousand) if place % 4 == 0]
    for number in (2, 10, 100):
        with CaptureQueriesContext(connection) as captured, messages() as sent:
            values = django_rpc.compute(*[make(key) for key in keys[:number]])
        assert len(values) == number
        assert len(sent) == 1
        assert len(captured) == statements, [query["sql"] for query in captured]


def test_thousand_values_are_distinguished(thousand):
    found = django_rpc.compute(*[ORDERS.filter(customer=key).count() for key in thousand])
    assert found == tuple(3 - place % 4 for place in range(1000))


def test_error_of_each_element_and_output(thousand):
    keys = [thousand[0], -1, None, "x", 2**80, thousand[0]]
    customers = mirrors.Customer.objects
    collected = delayed(keys).map(lambda pk: customers.get(pk=pk).name, return_exceptions=True).compute()
    assert [value if isinstance(value, str) else type(value).__name__ for value in collected] == [
        "c0",
        "DoesNotExist",
        "DoesNotExist",
        "ValueError",
        "DoesNotExist",
        "c0",
    ]
    assert isinstance(collected[1], mirrors.Customer.DoesNotExist)
    session = customers.all()._session
    futures = session.submit([Output(customers.delayed().get(pk=pk).__rpc_node__()) for pk in keys[:2]])
    assert futures[0].result().name == "c0"
    assert isinstance(futures[1].exception(), mirrors.Customer.DoesNotExist)
    with pytest.raises(mirrors.Customer.DoesNotExist) as caught:
        django_rpc.compute(customers.delayed().get(pk=keys[0]), customers.delayed().get(pk=-1))
    assert "Customer.objects.get(pk=-1)" in "\n".join(caught.value.__notes__)


def test_multiple_rows_fail_their_element(thousand):
    found = CUSTOMERS[:4].map(lambda c: c.orders.get(), return_exceptions=True).compute()
    assert [getattr(value, "number", type(value).__name__) for value in found] == [
        "MultipleObjectsReturned",
        "MultipleObjectsReturned",
        f"{thousand[2]}-0",
        "DoesNotExist",
    ]
    assert str(found[0]) == "get() returned more than one Order -- it returned 3!"


# Visible rows and fields


class OwnRows(ModelRpc):
    fields = ("id", "customer", "number", "total", "status", "created")

    def get_queryset(self, request):
        return Order.objects.filter(status="paid")


@pytest.mark.parametrize("name", MAPS)
def test_row_scope_equals_single_read(thousand, registered, monkeypatch, name):
    registered(Order, OwnRows)
    body, _ = MAPS[name]
    if name in ("nested", "three deep", "filter_by"):
        body = lambda c: c.orders.map(lambda o: o.number)  # noqa: E731
    together = CUSTOMERS[:8].map(body).compute()
    alone = [mirrors.Customer.objects.filter(pk=key).map(body).compute()[0] for key in thousand[:8]]
    assert repr(together) == repr(alone)
    seen = CUSTOMERS[:8].map(lambda c: c.orders.count()).compute()
    assert seen == [2, 1, 0, 0, 2, 1, 0, 0]


def test_relations_to_one_are_scoped(thousand, registered):
    registered(Customer, type("Rpc", (ModelRpc,), {"fields": ["id", "name"], "get_queryset": _few}))
    found = mirrors.Order.objects.order_by("pk")[:5].map(lambda o: o.customer.name, return_exceptions=True).compute()
    assert [value if isinstance(value, str) else type(value).__name__ for value in found] == [
        *["c0"] * 3,
        *["DoesNotExist"] * 2,
    ]


def _few(self, request):
    return Customer.objects.filter(name="c0")


HIDDEN = "secret_note"
ROWS = {
    "attribute": lambda p: Attr(p, HIDDEN),
    "filter by it": lambda p: method(method(source("shop.Customer"), "filter", **{HIDDEN: Attr(p, "name")}), "count"),
    "looked up from outside": lambda p: method(
        method(source("shop.Order"), "filter", **{f"customer__{HIDDEN}": Attr(p, "name")}), "count"
    ),
    "compared with it": lambda p: method(method(source("shop.Order"), "filter", total__gt=Attr(p, HIDDEN)), "count"),
    "values": lambda p: method(method(source("shop.Customer"), "filter", pk=Attr(p, "pk")), "values", HIDDEN),
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("errors", [False, True])
def test_hidden_names_are_unknown_names(thousand, ask, name, errors):
    def answer(hidden):
        row = Element()
        body = ROWS[name](row)
        node = Map(Item(source("shop.Customer"), slice(0, 3)), row, body, errors)
        answered = ask(node)
        text = repr(answered.response).replace("traceback", "")
        return text

    found = answer(HIDDEN)
    assert "secret of" not in found
    assert "error" in found.lower()


# Hostile shapes


def refused(answered, code, fragment=""):
    assert answered.error is not None
    assert answered.error.code == code, answered.error
    assert fragment in answered.error.message
    return answered


def nested_maps(depth, parent):
    params = [Element(level % MAX_DEPTH) for level in range(depth)]
    body = Operator("add", (params[-1], 1))
    for param in reversed(params):
        body = Map(parent, param, body)
    return body


def test_maps_within_maps_are_bounded(ask):
    started = time.thread_time()
    hundred = Literal(list(range(100)))
    answered = refused(ask(nested_maps(4, hundred)), "TooManyNodes", "elements")
    assert answered.queries == []
    assert time.thread_time() - started < 5


def test_the_same_map_in_itself_over_a_table(ask, thousand, settings):
    settings.DJANGO_RPC = {**settings.DJANGO_RPC, "LIMITS": {"elements": 2_500}}
    inner, outer = Element(1), Element(0)
    pairs = Map(source("shop.Customer"), outer, Map(source("shop.Order"), inner, Attr(outer, "pk")))
    answered = refused(ask(pairs), "TooManyNodes", "elements")
    assert len(answered.queries) <= 2


def test_a_large_table_is_not_read_to_its_end(ask, thousand, settings):
    settings.DJANGO_RPC = {**settings.DJANGO_RPC, "LIMITS": {"elements": 10}}
    row = Element()
    answered = refused(ask(Map(source("shop.Customer"), row, Attr(row, "pk"))), "TooManyNodes")
    assert "LIMIT 11" in answered.queries[0]


def test_rows_loaded_with_elements_are_counted(ask, thousand, settings):
    settings.DJANGO_RPC = {**settings.DJANGO_RPC, "LIMITS": {"elements": 3_000}}
    row = Element()
    refused(ask(Map(source("shop.Customer"), row, source("shop.Order"))), "TooManyNodes", "elements")


def test_a_long_body_for_many_elements(ask, settings):
    settings.DJANGO_RPC = {**settings.DJANGO_RPC, "LIMITS": {"steps": 10_000}}
    row = Element()
    body = row
    for _ in range(500):
        body = Operator("add", (body, 1))
    refused(ask(Map(Literal(list(range(100))), row, body)), "TooManyNodes", "steps")


def test_many_maps_with_long_body(ask):
    """Each map evaluates the body again: the work is the product of both."""
    row = Element()
    body = row
    for _ in range(4_000):
        body = Operator("add", (body, 1))
    started = time.thread_time()
    answered = ask(*[Map(Literal([]), row, body) for _ in range(2_000)])
    assert time.thread_time() - started < 20
    assert answered.error is None or answered.error.code == "TooManyNodes"


def test_a_diamond_of_lists(ask):
    value = Literal([1])
    for _ in range(40):
        value = Literal([value, value])
    started = time.thread_time()
    refused(ask(value), "ResponseTooLarge", "response_bytes")
    assert time.thread_time() - started < 10


def test_a_diamond_of_maps(ask):
    row = Element()
    value = Literal([1])
    for _ in range(40):
        value = Map(value, row, Literal([row, row]))
    started = time.thread_time()
    refused(ask(value), "TooManyNodes", "elements")
    assert time.thread_time() - started < 10


def test_params_without_end(ask):
    row = Element()
    params = [Element(n % MAX_DEPTH) for n in range(200)]
    body = params[0]
    for param in params[1:]:
        body = Operator("add", (body, param))
    assert ask(Map(Literal([1]), row, body)).error.code in ("BadValue", "TooManyNodes")


def test_a_param_outside_of_its_map(ask):
    refused(ask(Attr(Element(), "name")), "BadValue", "param")
    refused(ask(Reduce("sum", Element())), "BadValue", "param")


def test_a_map_that_writes_cannot_collect_errors(ask):
    row = Element()
    write = Method(source("shop.Tag"), "create", (), {"name": row})
    refused(ask(Map(Literal(["a", "b"]), row, write, True)), "BadValue", "writes")


def test_map_of_value_without_elements(ask):
    row = Element()
    refused(ask(Map(Literal("text"), row, row)), "TypeError", "no elements")
    refused(ask(Map(Literal(7), row, row)), "TypeError")
    refused(ask(Reduce("sum", Literal(["a", "b"]))), "TypeError", "sum()")
    refused(ask(Reduce("len", Literal(7))), "TypeError", "no list")


def test_a_branch_that_is_not_taken_is_not_evaluated(ask):
    missing = method(source("shop.Customer"), "get", pk=-1)
    write = Method(source("shop.Tag"), "create", (), {"name": "x"})
    assert ask(IfElse(Literal(True), Literal(1), missing)).output == 1
    assert ask(IfElse(Literal(False), write, Literal(2))).output == 2
    assert not mirrors.Tag.objects.exists()
    refused(ask(IfElse(Literal(False), Literal(1), missing)), "DoesNotExist")


def test_writes_roll_back_with_an_element_that_fails(thousand):
    tags = mirrors.Tag.objects.delayed()
    names = delayed(["one", "two", "one"])
    with pytest.raises(django_rpc.models.errors.IntegrityError):
        names.map(lambda name: tags.create(name=name).pk).compute()
    assert not mirrors.Tag.objects.exists()
    assert names[:2].map(lambda name: tags.create(name=name).name).compute() == ["one", "two"]


def test_foreign_keys_by_another_column(db):
    """A value that is a key in Python and not in SQL is looked up separately, with the same result."""
    category = Category.objects.create(title="a")
    Product.objects.bulk_create(Product(sku=f"s{n}", title="t", price=n % 3, category=category) for n in range(6))
    prices = [0, 1, "2.00", 9]
    products = mirrors.Product.objects.delayed()
    assert django_rpc.compute(*[products.filter(price=price).count() for price in prices]) == (2, 2, 2, 0)
