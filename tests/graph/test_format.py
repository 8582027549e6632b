"""Nodes as text."""

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_rpc.graph.delayed.delayed import Delayed, delayed
from django_rpc.graph.format import describe, shorten, step
from django_rpc.graph.nodes import Column, Insert, Literal, Method, ModelSource, Node, Rows, Save
from django_rpc.graph.values import Condition, Expr, Reference

ORDERS = Delayed(ModelSource("shop.Order", "rpc"))
CLIENTS = Delayed(ModelSource("shop.Client", "rpc"))
Q = Condition

CASES = [
    (ORDERS, "Order.objects"),
    (ModelSource("shop.Order.tags", "rpc"), "Order.tags.through.objects"),
    (
        ORDERS.filter(client__in=CLIENTS.filter(tier="vip").values("pk")).first(),
        "Order.objects.filter(client__in=Client.objects.filter(tier='vip').values('pk')).first()",
    ),
    (ORDERS.filter(Q((("a", 1), ("b", "x")))), "Order.objects.filter(a=1, b='x')"),
    (ORDERS.filter(Q((("a", 1), ("b", 2)), "OR")), "Order.objects.filter(Q(a=1) | Q(b=2))"),
    (ORDERS.filter(Q((("a", 1),), "AND", True)), "Order.objects.filter(~Q(a=1))"),
    (ORDERS.filter(Q((("a", 1), ("b", 2)), "OR", True)), "Order.objects.filter(~(Q(a=1) | Q(b=2)))"),
    (
        ORDERS.annotate(n=Expr("Count", ("lines",), {"distinct": True})),
        "Order.objects.annotate(n=Count('lines', distinct=True))",
    ),
    (ORDERS.filter(client=Reference("shop.Client", 3)), "Order.objects.filter(client=<Client pk=3>)"),
    (ORDERS.call("recount", 1, deep=True), "Order.objects.call('recount', 1, deep=True)"),
    (ORDERS[2:5], "Order.objects[2:5]"),
    (ORDERS[:5], "Order.objects[:5]"),
    (ORDERS[3].number, "Order.objects[3].number"),
    (ORDERS.first()[1:6:2], "Order.objects.first()[1:6:2]"),
    (ORDERS.first()["a"], "Order.objects.first()['a']"),
    (-(ORDERS.count() + 1) * 2, "((-(Order.objects.count() + 1)) * 2)"),
    (abs(ORDERS.count()), "abs(Order.objects.count())"),
    (ORDERS & CLIENTS, "Order.objects & Client.objects"),
    (Save("shop.Order", "rpc", {"number": "x", "total": 5}, adding=True), "Order.save(number='x', total=5)"),
    (Insert("shop.Order", "rpc", ("a",), ((1,), (2,))), "Order.objects.bulk_create(<2 rows>)"),
    (Insert("shop.Order", "rpc", ("a",), ((1,),)), "Order.objects.bulk_create(<1 row>)"),
    (Rows(ORDERS.all().__rpc_node__(), ("id",)), "Order.objects.all()"),
    (Column(Rows(ORDERS.__rpc_node__(), ("id",)), "id"), "Order.objects.values_list('id')"),
    (delayed({"a": [ORDERS.count(), (1,)], "b": {2}}), "{'a': [Order.objects.count(), (1,)], 'b': {2}}"),
    (delayed(()), "()"),
    (delayed(set()), "set()"),
    (Method(Method(ORDERS.__rpc_node__(), "sticky"), "add_ordering", ("pk",)), "Order.objects.order_by('pk')"),
    (Method(ORDERS.__rpc_node__(), "filter_reuse", (Q((("a", 1),)),)), "Order.objects.filter(a=1)"),
    (ORDERS.filter(a__in=range(9000)), "Order.objects.filter(a__in=[0, 1, 2, 3, … 9000 in all])"),
    (ORDERS.in_bulk(*range(9)), "Order.objects.in_bulk(0, 1, 2, 3, … 9 in all)"),
]


@pytest.mark.parametrize(("value", "text"), CASES, ids=[text for _, text in CASES])
def test_reads_as_it_was_written(value, text):
    assert describe(value if isinstance(value, Node) else value.__rpc_node__()) == text


def test_the_middle_of_a_long_chain_is_left_out():
    node = ORDERS.__rpc_node__()
    for number in range(50_000):
        node = Method(node, "filter", (), {"field": number})
    text = describe(Method(node, "first"))
    assert text.startswith("Order.objects.filter(field=0)")
    assert text.endswith(".filter(field=49999).first()")
    assert "…" in text
    assert len(text) <= 220


def test_deep_nesting_and_deep_sums_are_cut():
    query, total = ORDERS, ORDERS.count()
    for number in range(5_000):
        query = ORDERS.filter(pk__in=query.values("pk"))
        total = total + number
    assert len(describe(query.__rpc_node__())) <= 220
    assert describe(query.__rpc_node__()).startswith("Order.objects.filter(pk__in=")
    assert len(describe(total.__rpc_node__())) <= 220


def test_a_diamond_of_queries_is_quick():
    query = ORDERS
    for _ in range(60):
        query = query.filter(a=query.values("a"), b=query.values("b"))
    assert len(describe(query.__rpc_node__())) <= 220


def test_values_are_shortened():
    assert len(describe(ORDERS.filter(a="x" * 100_000).__rpc_node__())) <= 220
    assert len(describe(ORDERS.filter(a=b"x" * 100_000).__rpc_node__())) <= 220
    assert len(describe(ORDERS.filter(a=10**100_000).__rpc_node__())) <= 220
    assert describe(ORDERS.filter(**{f"f{n}": n for n in range(100)}).__rpc_node__()).endswith("… 100 in all)")


@pytest.mark.parametrize("start", ["a", "it's ", 'the "', b"a", b"it's ", "it's \"", "\n"])
def test_a_shortened_text_ends_with_the_quote_that_it_begins_with(start):
    filler = "a" if isinstance(start, str) else b"a"
    text = describe(ORDERS.filter(x=start + filler * 1000).__rpc_node__())
    shown = text.partition("x=")[2].rpartition(")")[0]
    assert ast.literal_eval(shown.replace("…", "")) in (start + filler * 1000)


def test_single_step_text():
    assert step(ORDERS.filter(a=ORDERS.first()).__rpc_node__()) == ".filter(a=…)"
    assert step(ORDERS.__rpc_node__()) == "Order.objects"


def test_the_repr_of_a_node_is_short_and_no_deeper_than_the_text():
    node = ORDERS.__rpc_node__()
    for _ in range(5_000):
        node = Method(node, "all")
    assert repr(node).startswith("<Method Order.objects.all()")
    assert len(repr(node)) < 300


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates() | st.decimals(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.builds(lambda x: Literal([x]), inner),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(VALUES, st.integers(20, 200))
def test_any_value_is_described_within_bounds(value, limit):
    text = describe(Literal(value), limit)
    assert isinstance(text, str)
    assert len(text) <= limit
    assert len(shorten(text, 10)) <= 10
