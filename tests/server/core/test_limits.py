"""Limits of the cost of a request: each limit ends it with its error, and nothing of it is written.

Run on PostgreSQL and MariaDB too, by tests/live/test_server_on_databases.py.
"""

from __future__ import annotations

import re
import time

import pytest
from django.core.cache import cache
from django.db import connection

from django_rpc import errors
from django_rpc.demo.server.shop.models import Category, Customer, Order
from django_rpc.errors import ImproperSettings
from django_rpc.graph.nodes import Attr, Element, Literal, Map, Rows
from django_rpc.graph.values import Expr
from django_rpc.server import ModelRpc, handler
from django_rpc.server.conf import Settings
from django_rpc.server.core import rate_limit as rates
from django_rpc.server.core.clients import read_clients
from django_rpc.server.core.limits import DEFAULT, EXCEEDED
from django_rpc.server.query import timeouts
from django_rpc.server.query.statements import StatementBudget
from django_rpc.wire.codec import decode_response, encode_request
from tests.server.conftest import call, method, request_for, source

CUSTOMERS, ORDERS = source("shop.Customer"), source("shop.Order")
COUNT = method(CUSTOMERS, "count")


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()
    rates.forget()
    yield
    cache.clear()
    rates.forget()


@pytest.fixture
def limits(settings_of_server, shop_data):
    return lambda **given: settings_of_server(LIMITS=given)


def exceeded(answered, name):
    """Return True if the answer reports a broken limit of this name."""
    error = answered.error
    assert error is not None, answered.outputs
    assert f"(limit '{name}')" in error.message, error
    assert error.code == EXCEEDED[name].__name__
    return True


def test_each_limit_has_a_class_at_the_client():
    for kind in EXCEEDED.values():
        found = getattr(errors, kind.__name__)
        assert issubclass(found, errors.LimitExceeded)
    for name in ("MessageTooLarge", "MessageTooDeep", "TooManyNodes"):
        assert issubclass(getattr(errors, name), errors.LimitExceeded)


# rows


READS = {
    "instances": ORDERS,
    "rows": Rows(parent=ORDERS, columns=("id", "number")),
    "rows with a computed column": Rows(parent=ORDERS, columns=("id", "is_large")),
    "values": method(ORDERS, "values", "id"),
    "flat values": method(ORDERS, "values_list", "id", flat=True),
    "sliced beyond": method(ORDERS, "order_by", "id"),
    "related": method(method(CUSTOMERS, "filter", pk__lte=20), "prefetch_related", "orders"),
    "a union": method(
        method(method(ORDERS, "order_by"), "filter", pk__lte=40),
        "union",
        method(method(ORDERS, "order_by"), "filter", pk__gt=40),
    ),
    "many queries": Literal(value=[Rows(parent=method(ORDERS, "filter", pk__gt=n), columns=("id",)) for n in (30, 40)]),
    "for each": Map(
        parent=method(CUSTOMERS, "order_by", "id"),
        param=(param := Element(depth=0)),
        body=method(Attr(parent=param, name="orders"), "values_list", "id", flat=True),
    ),
}


@pytest.mark.parametrize("read", READS)
def test_rows(ask, limits, read):
    limits(rows=50)
    answered = ask(READS[read])
    assert exceeded(answered, "rows")
    for sql in filter(None, answered.queries):  # PostgreSQL finds no key for a text that was not sent
        if sql.startswith("SELECT") and "shop_order" in sql:
            assert re.search(r"LIMIT (51|2)\b", sql) or "COUNT" in sql or "IN (" in sql, "more is never fetched"
    limits(rows=500)
    assert ask(READS[read]).error is None


def test_rows_that_are_few_enough(ask, limits):
    limits(rows=80)
    assert len(ask(method(ORDERS, "values_list", "id", flat=True)).output) == 80
    limits(rows=79)
    assert exceeded(ask(method(ORDERS, "values_list", "id", flat=True)), "rows")
    assert ask(method(ORDERS, "count")).output == 80, "what is not read is not counted"
    assert ask(method(ORDERS, "aggregate", n=Expr("Count", ("id",)))).output == {"n": 80}


def test_rows_of_service_queries_are_counted(ask, limits, registered):
    class OwnRpc(ModelRpc):
        fields = ["id"]
        methods = ["everything", "values"]

        def everything(self, request, queryset):
            return Order.objects.all()

        def values(self, request, queryset):
            return Order.objects.values_list("pk", flat=True)

    registered(Customer, OwnRpc)
    limits(rows=50)
    assert exceeded(ask(call(CUSTOMERS, "everything")), "rows")
    assert exceeded(ask(call(CUSTOMERS, "values")), "rows")


def test_a_window_in_a_condition_is_limited_outside(ask, limits):
    limits(rows=50)
    ranked = method(ORDERS, "annotate", n=Expr("Window", (Expr("RowNumber"),), {"order_by": [Expr("F", ("id",))]}))
    assert exceeded(ask(method(ranked, "filter", n__lte=60)), "rows")
    assert len(ask(method(ranked, "filter", n__lte=40)).output.rows) == 40


# response_bytes


def test_response_bytes(ask, limits):
    limits(response_bytes=500)
    assert exceeded(ask(ORDERS), "response_bytes")
    getset = method(CUSTOMERS, "getset", name="too much to tell")
    assert exceeded(ask(getset), "response_bytes")
    assert not Customer.objects.filter(name="too much to tell").exists(), "who is told of an error has written nothing"
    assert ask(COUNT).output == 40


# statements


def test_statements(ask, limits):
    limits(statements=5)
    answered = ask(*[method(CUSTOMERS, "get", pk=n) for n in range(1, 5)])
    assert answered.error is None
    answered = ask(*[method(CUSTOMERS, "update", name=str(n)) for n in range(20)])
    assert exceeded(answered, "statements")
    assert len([sql for sql in answered.queries if sql and sql.startswith("UPDATE")]) <= 5 + 1, (
        "the log has the refused one"
    )
    assert not Customer.objects.filter(name="0").exists(), "nothing of it was written"


def test_caught_limit_error_still_ends_request(ask, limits, registered):
    """Code of the service may catch every error: writes above a limit are still undone."""

    class CatchingRpc(ModelRpc):
        fields = ["id"]
        methods = ["write"]

        def write(self, request, queryset):
            for n in range(20):
                try:
                    Category.objects.create(title=f"category {n}")
                except Exception:  # noqa: BLE001, S112
                    continue
            return "done"

    registered(Customer, CatchingRpc)
    limits(statements=8)
    assert exceeded(ask(call(CUSTOMERS, "write")), "statements")
    assert not Category.objects.filter(title__startswith="category ").exists()


def test_elements_that_fail_are_not_the_answer(ask, limits):
    """A map that continues after errors does not continue after this error."""
    param = Element(depth=0)
    orders = method(Attr(parent=param, name="orders"), "values_list", "id", flat=True)
    limits(rows=50)
    mapped = Map(parent=method(CUSTOMERS, "order_by", "id"), param=param, body=orders, errors=True)
    assert exceeded(ask(mapped), "rows")


# seconds

#: A statement that takes a second or more, for each database.
SLOW = {
    "sqlite": "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x < 4000000) SELECT COUNT(*) FROM c",
    "postgresql": "SELECT pg_sleep(1.5)",
    "mysql": "SELECT SLEEP(1.5)",
}


class SlowRpc(ModelRpc):
    fields = ["id", "name"]
    operations = {"read", "update"}
    methods = ["slow"]

    def slow(self, request, queryset):
        with connection.cursor() as cursor:
            cursor.execute(SLOW[connection.vendor])
            cursor.fetchall()


def test_seconds_by_the_database(ask, limits, registered, monkeypatch):
    finished = []

    class Rpc(SlowRpc):
        def slow(self, request, queryset):
            super().slow(request, queryset)
            finished.append(True)

    registered(Customer, Rpc)
    slow = call(CUSTOMERS, "slow")
    started = time.monotonic()
    assert ask(slow).error is None
    seconds = time.monotonic() - started
    assert finished.pop()
    limits(seconds=seconds / 5)
    assert exceeded(ask(slow), "seconds")
    assert finished == [], "the database stopped the statement"
    assert connection.connection is not None
    assert ask(COUNT).output == 40, "the connection is as good as before"
    # Taken out: the clock between statements still sees it, when the database has done it all.
    monkeypatch.setattr(timeouts.Timeouts, "arm", lambda self, connection: None)
    assert exceeded(ask(slow), "seconds")
    assert finished == [True]


PATH = "__".join(["customer", "orders"] * 12)


@pytest.mark.parametrize(
    "hostile",
    [
        method(method(ORDERS, "filter", **{f"{PATH}__id__gt": 0}), "count"),
        method(ORDERS, "values_list", f"{PATH}__id", flat=True),
    ],
)
def test_seconds_of_a_hostile_join(ask, limits, hostile):
    """Each two joins double the rows: there are milliards of them."""
    limits(seconds=0.3)
    started = time.thread_time()
    assert exceeded(ask(hostile), "seconds")
    assert time.thread_time() - started < 5


def test_nothing_is_written_after_the_deadline(ask, limits, registered):
    registered(Customer, SlowRpc)
    limits(seconds=0.2)
    assert exceeded(ask(method(CUSTOMERS, "update", name="late"), call(CUSTOMERS, "slow")), "seconds")
    assert not Customer.objects.filter(name="late").exists()


@pytest.mark.django_db(transaction=True)
def test_connection_settings_are_restored(settings_of_server, registered, monkeypatch):
    registered(Customer, SlowRpc)

    def own():
        if connection.vendor == "sqlite":
            return 0.0
        return timeouts._kind(connection).read(connection)

    slow, count = (encode_request(request_for(node)) for node in (call(CUSTOMERS, "slow"), COUNT))
    before = own()
    settings_of_server(LIMITS={"seconds": 0.2})
    assert decode_response(handler.handle(slow)).error.code == "DeadlineExceeded"
    assert own() == before
    with connection.cursor() as cursor:
        cursor.execute(SLOW[connection.vendor])
    if connection.vendor == "sqlite":
        return
    monkeypatch.setattr(timeouts, "_kept", True)
    settings_of_server(LIMITS={"seconds": 40})
    told = []
    monkeypatch.setattr(
        timeouts, "_run", lambda connection, sql, run=timeouts._run: (told.append(sql), run(connection, sql))
    )
    for _ in range(3):
        assert decode_response(handler.handle(count)).outputs == (0,)
    assert len(told) == 1, "one round trip for many requests"
    assert 40 <= own() <= 40 * 1.1
    kind = timeouts._kind(connection)
    kind.reset(connection)
    kind.set(connection, 0.1)
    del connection._rpc_timeout
    assert decode_response(handler.handle(slow)).error.code == "DeadlineExceeded", "the project's own is shorter"
    connection.close()


def test_the_clock_is_looked_at_between_nodes(ask, limits, monkeypatch):
    budget = StatementBudget(DEFAULT)
    later = time.monotonic() + 1000
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with pytest.raises(EXCEEDED["seconds"]):
        budget.check()


# requests


def code(node=COUNT, *beside):
    error = decode_response(handler.handle(encode_request(request_for(node)), *beside)).error
    return error.code if error else "answered"


def test_requests_a_minute(limits, monkeypatch):
    now = 1_000_000_000.0
    monkeypatch.setattr(rates.time, "time", lambda: now)
    limits(requests=3)
    assert [code() for _ in range(5)] == ["answered"] * 3 + ["TooManyRequests"] * 2
    assert decode_response(handler.handle(b"nonsense")).error.code == "TooManyRequests", "before it is read"
    now += 60
    assert code() == "answered"


@pytest.mark.parametrize("second", [59.5, 30.0, 0.0])
def test_there_is_no_double_burst_where_a_minute_ends(limits, monkeypatch, second):
    start = 16_666_680 * 60.0
    now = start + second
    monkeypatch.setattr(rates.time, "time", lambda: now)
    limits(requests=100)
    assert [code() for _ in range(120)].count("answered") == 100
    rates.forget()  # another process
    now = start + 60.5
    assert [code() for _ in range(120)].count("answered") <= 2
    now = start + 90
    assert 40 <= [code() for _ in range(120)].count("answered") <= 60
    now = start + 180
    assert [code() for _ in range(120)].count("answered") == 100


def test_requests_are_counted_for_each_client(settings_of_server, shop_data, monkeypatch):
    clients = read_clients({"shop": {"keys": "s" * 32, "limits": {"requests": 2}}, "anonymous": {}})
    monkeypatch.setattr(rates.time, "time", lambda: 1_000_000_000.0)
    for _ in range(2):
        rates.count("shop", clients["shop"].limits, lambda: cache)
    with pytest.raises(EXCEEDED["requests"], match=r"At most 2 are allowed \(limit 'requests'\)"):
        rates.count("shop", clients["shop"].limits, lambda: cache)
    rates.count("anonymous", clients["anonymous"].limits, lambda: cache)


def test_large_rate_limit_reads_cache_rarely(settings_of_server, db, monkeypatch):
    client = read_clients({"anonymous": {"limits": {"requests": 5_000}}})["anonymous"]
    monkeypatch.setattr(rates.time, "time", lambda: 1_000_000_000.0)
    told = []
    monkeypatch.setattr(rates, "_add", lambda *args, add=rates._add: told.append(args[2]) or add(*args))
    for _ in range(5_000):
        rates.count("anonymous", client.limits, lambda: cache)
    assert told == [0] + [5] * 1_000  # 0: the minute before is read
    rates.forget()  # another process
    for _ in range(4):
        rates.count("anonymous", client.limits, lambda: cache)
    with pytest.raises(EXCEEDED["requests"]):
        rates.count("anonymous", client.limits, lambda: cache)
    told.clear()
    with pytest.raises(EXCEEDED["requests"]):
        rates.count("anonymous", client.limits, lambda: cache)
    assert told == [], "who is over is so until the minute ends"


def test_broken_cache_does_not_stop_requests(limits, monkeypatch, caplog):
    class Broken:
        def add(self, *args):
            raise ConnectionError("no cache")

    limits(requests=1)
    monkeypatch.setattr(Settings, "cache", Broken())
    assert code() == "answered"
    assert "could not be counted" in caplog.text


# by client


def test_limits_of_a_client_are_on_top_of_those_of_all(settings_of_server, shop_data):
    settings_of_server(LIMITS={"nodes": 3, "rows": 10}, CLIENTS={"anonymous": {"limits": {"rows": 20, "nodes": 4}}})
    answered = decode_response(handler.handle(encode_request(request_for(method(CUSTOMERS, "values", "id")))))
    assert "At most 20 are allowed (limit 'rows')" in answered.error.message
    five = method(method(method(method(CUSTOMERS, "all"), "all"), "all"), "count")
    assert code(five) == "TooManyNodes"
    settings_of_server(LIMITS={"nodes": 3, "rows": 10}, CLIENTS={"anonymous": {}})
    answered = decode_response(handler.handle(encode_request(request_for(method(CUSTOMERS, "values", "id")))))
    assert "At most 10 are allowed (limit 'rows')" in answered.error.message


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"row": 5}, "Did you mean 'rows'"),
        ({"rows": 0}, "has to be a number above 0"),
        ({"rows": 1.5}, "has to be a number above 0"),
        ({"rows": True}, "has to be a number above 0"),
        ({"seconds": "5"}, "has to be a number above 0"),
        (5, "has to be a dict of limits"),
    ],
)
def test_mistakes_in_limits(given, said):
    with pytest.raises(ImproperSettings, match=said) as caught:
        read_clients({"anonymous": {"limits": given}})
    assert "DJANGO_RPC['CLIENTS']['anonymous']['limits']" in str(caught.value)
