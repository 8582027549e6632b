"""Size and cost of a request: raw bytes exceed each limit of a client, and the error names the limit."""

from __future__ import annotations

import dataclasses

import pytest

from django_rpc.server.core import rate_limit as rates
from django_rpc.server.core.limits import DEFAULT, Allowance

from .conftest import expr, method, ref

CUSTOMERS, ORDERS = ["source", "shop.Customer"], ["source", "shop.Order"]
PATH = "__".join(["customer", "orders"] * 12)
ORDERS_OF_EACH = [CUSTOMERS, ["param", 0], ["attr", 1, "orders"], method(2, "count"), ["map", 0, 1, 3, False]]

#: limit -> its value, and a request that exceeds it.
BEYOND = {
    "message_bytes": (200, [["literal", "a" * 200]]),
    "nodes": (3, [["literal", 1]] * 4),
    "outputs": (3, [["literal", 1]]),
    "elements": (10, ORDERS_OF_EACH),
    "steps": (30, [CUSTOMERS, method(0, "filter", {"$q": ["OR", False, [["id", 1]] * 30]}), method(1, "count")]),
    "depth": (20, [["literal", [[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]),
    "text": (100, [["literal", "a" * 101]]),
    "digits": (30, [["literal", {"$int": "9" * 40}]]),
    "columns": (5, [["literal", {"$rows": [["a"] * 6, ["int"] * 6, [[1] * 6]]}]]),
    "code_bytes": (10, [["ship", {"$bytes": "A" * 400}, [], {}, False]]),
    "rows": (10, [CUSTOMERS]),
    "response_bytes": (300, [CUSTOMERS]),
    "handed_bytes": (30, [["literal", "a" * 100]]),
    "parked_messages": (1, [["literal", 1]]),
    "parked_bytes": (1, [["literal", 1]]),
    "statements": (2, [CUSTOMERS, method(0, "count"), ORDERS, method(2, "count"), method(0, "first")]),
    "subqueries": (2, [CUSTOMERS, method(0, "values", "pk"), *[method(1, "filter", pk__in=ref(1), id__in=ref(1))],
                       method(2, "filter", pk__in=ref(2), id__in=ref(2)), method(3, "count")]),
    "joins": (2, [ORDERS, method(0, "filter", customer__referred_by__orders__id=1), method(1, "count")]),
    "seconds": (0.2, [ORDERS, method(0, "filter", **{f"{PATH}__id__gt": 0}), method(1, "count")]),
    "requests": (2, [["literal", 1]]),
    "withdrawals": (1, [["outcome", f"not-sent-{number}", True] for number in range(3)]),
}  # fmt: skip
#: Broken by statements that have run.
WITH_SQL = ("elements", "rows", "response_bytes", "statements", "seconds", "withdrawals")
#: Refused with all shipping: no client of this test may ship.
NOT_HERE = {"code_bytes": "test_shipping.py"}
#: Kept in Redis, by a worker.
NOT_HERE |= dict.fromkeys(["parked_messages", "parked_bytes"], "tests/live/test_parked_values.py")


@pytest.fixture(autouse=True)
def rows(shop_data):
    rates.forget()
    yield
    rates.forget()


def test_every_limit_has_a_probe():
    assert set(BEYOND) == {field.name for field in dataclasses.fields(Allowance)}


@pytest.mark.parametrize("name", sorted(BEYOND.keys() - NOT_HERE.keys()))
def test_the_error_names_the_limit(send, settings_of_server, name):
    allowed, nodes = BEYOND[name]
    more = {"outputs": [0] * 4} if name == "outputs" else {}
    more |= {"then": [["b1", "stock", 1, [0]]], "back": []} if name == "handed_bytes" else {}
    if name not in ("seconds", "withdrawals"):  # they would take 120 seconds, or be withdrawn already
        before = send(nodes, **more)
        assert before.error is None or "(limit" not in before.message, "the default is sane"
    rates.forget()
    settings_of_server(CLIENTS={"anonymous": {"limits": {name: allowed}}})
    answered = send(nodes, **more)
    for _ in range(2 if name == "requests" else 0):
        answered = send(nodes)
    assert answered.error is not None
    assert f"(limit '{name}'" in answered.message, answered.text
    assert answered.seconds < 10
    assert getattr(DEFAULT, name) > allowed
    assert answered.data_statements == [] or name in WITH_SQL


def test_a_request_that_is_within_is_answered(send, settings_of_server):
    """The limits of a client apply in addition to the general limits; a request within both is done."""
    settings_of_server(LIMITS={"rows": 5, "nodes": 2}, CLIENTS={"anonymous": {"limits": {"rows": 40}}})
    assert send([CUSTOMERS]).error is None
    assert "(limit 'nodes'" in send([CUSTOMERS, method(0, "all"), method(1, "count")]).message
    assert "(limit 'rows'" in send([ORDERS]).message
    assert send([ORDERS, method(0, "aggregate", n=expr("Count", "pk"))]).output == {"n": 80}
