"""The SQL that explain() shows is the SQL that compute() runs."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.db.models import Count, Sum
from django.test.utils import CaptureQueriesContext

from django_rpc import compute

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])

QUERIES = {
    "all": lambda query: query.all(),
    "filter": lambda query: query.filter(customer__active=True),
    "order_by": lambda query: query.order_by("customer__name", "-pk"),
    "select_related": lambda query: query.select_related("customer"),
    "annotate": lambda query: query.annotate(lines_count=Count("lines")),
    "only": lambda query: query.only("number"),
    "distinct": lambda query: query.distinct(),
    "values": lambda query: query.values("number", "total"),
    "values_list": lambda query: query.values_list("number", flat=True),
    "grouped": lambda query: query.values("status").annotate(n=Count("pk")).order_by("status"),
}
TERMINALS = {
    "first": lambda query: query.first(),
    "last": lambda query: query.last(),
    "get": lambda query: query.get(number="explained"),
    "count": lambda query: query.count(),
    "exists": lambda query: query.exists(),
    "aggregate": lambda query: query.aggregate(total_sum=Sum("total")),
    "in_bulk": lambda query: query.in_bulk([1, 2]),
    "earliest": lambda query: query.earliest("created"),
    "latest": lambda query: query.latest("created"),
    "contains": lambda query: query.contains(query.first()),
    "iteration": lambda query: query,
    "slice": lambda query: query[2:5],
}
VALUES_HAVE_NONE = {"in_bulk", "contains", "earliest", "latest", "get"}


@pytest.fixture
def one_order(local, shop_data):
    order = local.Order.objects.filter(customer__active=True).first()
    local.Order.objects.filter(pk=order.pk).update(number="explained")
    return order


def _executed(run):
    with CaptureQueriesContext(connection) as captured:
        run()
    return [query["sql"] for query in captured.captured_queries if query["sql"].startswith("SELECT")]


def _shown(delayed):
    return re.findall(r"SQL of .*?: (SELECT .*)", delayed.explain())


@pytest.mark.parametrize("terminal", TERMINALS)
@pytest.mark.parametrize("query", QUERIES)
def test_explain_shows_the_sql_that_runs(remote, one_order, query, terminal):
    if query in ("values", "values_list", "grouped") and terminal in VALUES_HAVE_NONE:
        terminal = "first"
    delayed = TERMINALS[terminal](QUERIES[query](remote.Order.objects.delayed()))
    executed = _executed(delayed.compute)
    shown = _shown(delayed)
    assert executed
    assert shown == executed[: len(shown)]
    assert len(shown) == (1 if terminal == "contains" else len(executed))  # its argument is a row


@pytest.mark.parametrize("terminal", ["first", "last", "count", "iteration", "slice", "earliest", "get"])
@pytest.mark.parametrize("query", ["all", "filter", "order_by", "values"])
def test_lazy_queries_run_the_sql_that_explain_shows(remote, one_order, query, terminal):
    if query == "values" and terminal in VALUES_HAVE_NONE:
        terminal = "first"
    lazy = QUERIES[query](remote.Order.objects.all())
    delayed = TERMINALS[terminal](lazy.delayed())

    def run():
        value = TERMINALS[terminal](lazy)
        return list(value) if terminal in ("iteration", "slice") else value

    assert _executed(run) == _shown(delayed)


def test_reads_that_are_computed_together_run_the_sql_that_explain_shows(remote, one_order):
    orders = remote.Order.objects.delayed()
    reads = {"first": orders.first(), "last": orders.last(), "get": orders.get(number="explained")}
    executed = _executed(lambda: compute(reads))
    assert [sql for read in reads.values() for sql in _shown(read)] == executed
