"""The order of nodes, their hashes, their pickles, and merged reads."""

import datetime
import decimal
import pickle
import subprocess
import sys
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_rpc.graph.delayed.delayed import Delayed, delayed
from django_rpc.graph.delayed.lambdas import cond
from django_rpc.graph.identity import key, substitute
from django_rpc.graph.nodes import (
    KINDS,
    Element,
    Insert,
    Item,
    Literal,
    Method,
    ModelSource,
    Node,
    Operator,
    Rows,
    Save,
    own_fields,
)
from django_rpc.graph.nodes.pickled_function import ship
from django_rpc.graph.nodes.remote_function import function
from django_rpc.graph.plan import digraph
from django_rpc.graph.plan.expression_graph import ExpressionGraph
from django_rpc.graph.plan.pipeline import plan
from django_rpc.graph.plan.rewrites import REWRITES, merge_reads
from django_rpc.graph.plan.sites import sites
from django_rpc.graph.traversal import topological
from django_rpc.graph.values import Condition, Expr, Reference


def orders():
    return Delayed(ModelSource("shop.Order", "rpc"))


def shown(nodes):
    return [getattr(node, "name", type(node).__name__) for node in nodes]


def merged(*outputs):
    nodes = [output if isinstance(output, Node) else output.__rpc_node__() for output in outputs]
    return merge_reads(ExpressionGraph(topological(nodes), tuple(nodes)))


# -- order ----------------------------------------------------------------------------------------------


def test_collected_nodes_are_topological_and_unique():
    base = orders()
    needless = base.filter(b=1)
    low, high = base.filter(a=1), base.filter(a__in=base.values("a"))
    nodes = topological([high.count() + low.count(), low])
    assert len(set(nodes)) == len(nodes)
    assert needless.__rpc_node__() not in nodes
    for index, node in enumerate(nodes):
        assert set(node.inputs()) <= set(nodes[:index])


def test_writes_run_in_the_order_in_which_they_were_built():
    base = orders()
    writes = [base.create(total=number) for number in range(5)]
    for asked in (writes, writes[::-1], [delayed({"b": writes[3], "a": writes[1::-1]}), writes[4], writes[2]]):
        assert [node.kwargs["total"] for node in topological(asked) if node.writes] == [0, 1, 2, 3, 4]


def test_reads_keep_their_side_of_a_write():
    base = orders()
    before, write, after = base.count(), base.create(total=1), base.count()
    stage = plan([after, write, before]).stages[0]
    assert shown(stage.nodes) == ["ModelSource", "count", "create", "count"]
    assert stage.outputs == (3, 2, 1)


def test_outputs_accept_objects_with_node():
    class Queryset:
        def __rpc_node__(self):
            return base.__rpc_node__()

    base = orders()
    assert topological([Queryset(), base, base.__rpc_node__()]) == (base.__rpc_node__(),)
    for wrong in (1, None, "a", Delayed):
        with pytest.raises(TypeError, match="has no node"):
            topological([wrong])


def test_digraph_has_attributes_of_nodes():
    base = orders()
    write = base.create(total=base.count())
    graph = digraph(write)
    data = graph.nodes[write.__rpc_node__()]
    assert data == {
        "label": ".create(total=…)",
        "effect": "write",
        "service": "rpc",
        "sites": {"rpc"},
        "output": True,
    }
    assert graph.nodes[base.__rpc_node__()]["effect"] == "read"
    assert not graph.nodes[base.__rpc_node__()]["output"]
    assert set(graph.predecessors(write.__rpc_node__())) == {base.__rpc_node__(), write.__rpc_node__().kwargs["total"]}


def test_services_of_sources_saves_and_inserts():
    save = Save("shop.Order", "one", {"total": 1}, adding=True)
    insert = Insert("shop.Order", "two", ("total",), ((1,),))
    both = Literal([save, insert])
    assert sites(topological([both]))[both] == {"one", "two"}
    (names,) = sites([Literal(1)]).values()
    assert names == frozenset()


# -- keys -----------------------------------------------------------------------------------------------

ATOMS = [
    None,
    True,
    1,
    1.0,
    "1",
    b"1",
    decimal.Decimal("1"),
    decimal.Decimal("1.0"),
    0.0,
    -0.0,
    float("inf"),
    10**5000,
    datetime.date(2020, 1, 1),
    datetime.datetime(2020, 1, 1),
    datetime.datetime(2020, 1, 1, fold=1),
    datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    datetime.time(1),
    datetime.timedelta(1),
    uuid.UUID(int=1),
    [],
    (),
    {},
    frozenset(),
    [[]],
    [1],
    (1,),
    {1: 1},
    frozenset({1}),
    [1, 2],
    [2, 1],
    ["a", "b"],
    ["ab", ""],
    ["a,s1:b"],
    {"a": 1, "b": 2},
    {"b": 2, "a": 1},
    slice(1, 2),
    slice(1, None),
    slice("1", 2),
    Expr("F", ("a",)),
    Expr("F", (), {"name": "a"}),
    Condition((("a", 1),)),
    Condition((("a", 1),), "OR"),
    Condition((("a", 1),), "AND", True),
    Reference("shop.Order", 1),
]


def test_different_values_have_different_keys():
    keys = [key(Literal(value)) for value in ATOMS]
    assert len(set(keys)) == len(ATOMS)
    assert keys == [key(Literal(value)) for value in ATOMS]


def test_key_covers_kind_and_fields():
    base = ModelSource("shop.Order", "rpc")
    nodes = [
        base,
        ModelSource("shop.Order", "other"),
        ModelSource("shop.Client", "rpc"),
        Method(base, "get"),
        Method(base, "first"),
        Method(base, "get", (1,)),
        Method(base, "get", (), {"a": 1}),
        Item(base, 1),
        Rows(base, ("id",)),
        Rows(base, ("id", "total")),
        Operator("add", (1, 2)),
        Operator("sub", (1, 2)),
        Literal(base),
        Literal([base]),
    ]
    assert len({key(node) for node in nodes}) == len(nodes)


def test_keys_do_not_differ_between_processes():
    code = (
        "from django_rpc.graph.nodes import *; from django_rpc.graph.identity import key;"
        "print("
        "key(Method(ModelSource('shop.Order', 'rpc'), 'filter', (), {'a__in': frozenset('abcdef'), 'b': 2.5})).hex())"
    )
    outs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in "123"
    }
    assert len(outs) == 1


@pytest.mark.parametrize(
    "build",
    [
        lambda q: q.create(total=1),
        lambda q: q.call("recount"),
        lambda q: q.update(total=1),
        lambda q: q.order_by("?"),
        lambda q: q.order_by("-?"),
        lambda q: q.annotate(x=Expr("Random")),
        lambda q: q.order_by(Expr("OrderBy", (Expr("Random"),))),
        lambda q: q.filter(Condition((("a", Expr("Random")),))),
    ],
)
def test_writes_and_random_nodes_never_merge(build):
    base = orders()
    one, other = build(base), build(base)
    assert key(one.__rpc_node__()) != key(other.__rpc_node__())
    assert len(merged(one, other).nodes) == 3
    assert len(merged(one.first() if one.__rpc_node__().is_query else one.id, one).nodes) == 3


def test_the_key_of_a_long_chain_is_computed_once_a_node():
    node = ModelSource("shop.Order", "rpc")
    for number in range(20_000):
        node = Method(node, "filter", (), {"a": number})
    assert key(node) == node.digest
    assert all(one.digest is not None for one in topological([node]))


# -- merging --------------------------------------------------------------------------------------------


def test_equal_reads_merge_into_the_first():
    draft = merged(orders().filter(a=1).count(), orders().filter(a=1).count(), orders().filter(a=2).count())
    assert shown(draft.nodes) == ["ModelSource", "filter", "count", "filter", "count"]
    assert draft.outputs[0] is draft.outputs[1] is not draft.outputs[2]


def test_merging_reaches_into_arguments():
    def build():
        pks = orders().filter(a=1).values("pk")
        return (
            orders()
            .filter(Condition((("pk__in", pks.__rpc_node__()), ("x", Expr("Exists", (pks.__rpc_node__(),))))))
            .first()
        )

    draft = merged(build(), build())
    assert shown(draft.nodes) == ["ModelSource", "filter", "values", "filter", "first"]
    condition = draft.nodes[3].args[0]
    assert condition.children[0][1] is draft.nodes[2]
    assert condition.children[1][1].args[0] is draft.nodes[2]


def test_nothing_equal_changes_nothing():
    base = orders()
    nodes = topological([base.filter(a=1), base.filter(a=2)])
    draft = ExpressionGraph(nodes, nodes[1:])
    assert merge_reads(draft) is draft


def test_a_value_before_and_after_a_write_stays_two():
    base = orders()
    before = base.count()
    write = base.create(total=1)
    after = base.count()
    one, other = before + 1, after + 1  # equal content, built at the same moment, on different reads
    draft = merged(one, other, write)
    assert shown(draft.nodes) == ["ModelSource", "count", "create", "count", "add", "add"]
    # A query is not read until a method needs its rows.
    again = merged(orders().filter(a=1), orders().create(total=2), orders().filter(a=1))
    assert shown(again.nodes) == ["ModelSource", "filter", "create"]


def test_values_of_two_writes_stay_apart():
    base = orders()
    ids = [base.create(total=1).id for _ in range(2)]
    draft = merged(*ids, *[one + 1 for one in ids])
    assert shown(draft.nodes) == ["ModelSource", "create", "id", "create", "id", "add", "add"]


def test_rewrites_are_pure():
    outputs = (orders().count().__rpc_node__(), orders().count().__rpc_node__())
    draft = ExpressionGraph(topological(outputs), outputs)
    copy = ExpressionGraph(tuple(draft.nodes), tuple(draft.outputs))
    for rule in REWRITES:
        rule(draft)
    assert draft == copy
    assert outputs[0].parent is not outputs[1].parent


def test_substitute_keeps_place_and_line():
    base, other = ModelSource("shop.Order", "rpc"), ModelSource("shop.Client", "rpc")
    node = Method(base, "filter", ([base], (base,), {"k": base}), {"a": frozenset({base})}, where=("f.py", 1))
    new = substitute(node, {base: other})
    assert (new.order, new.where, new.is_query) == (node.order, node.where, True)
    assert set(new.inputs()) == {other}
    assert set(node.inputs()) == {base}
    part = Item(base, slice(Literal(1), None))
    assert substitute(part, {part.key.start: other}).key.start is other


# A program is a list of steps that use earlier values.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["source", "filter", "count", "first", "add", "create", "literal"]),
        st.integers(0, 3),
        st.integers(0, 9),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=25,
)


def build(steps):
    values = [ModelSource("shop.Order", "rpc")]
    for name, number, left, right in steps:
        one, other = values[left % len(values)], values[right % len(values)]
        if name == "source":
            values.append(ModelSource("shop.Order", "rpc"))
        elif name == "literal":
            values.append(Literal([one, number, other]))
        elif name == "add":
            values.append(Operator("add", (one, other)))
        elif name == "create":
            values.append(Method(one, "create", (), {"a": other, "b": number}))
        else:
            values.append(Method(one, name, (), {"a": number, "b": other} if name == "filter" else {}))
    return values


def run(nodes, outputs):
    """A model of a server: a read reports its text and the number of earlier writes; writes are numbered."""
    values, writes = {}, 0
    for node in nodes:
        inputs = tuple(values[one] for one in node.inputs())
        if node.writes:
            writes += 1
        moment = writes if not node.is_query else None
        own = [getattr(node, name) for name in own_fields(type(node))]
        plain = tuple(repr(value) for value in own if isinstance(value, str | int))
        numbers = tuple(sorted((k, v) for k, v in getattr(node, "kwargs", {}).items() if isinstance(v, int)))
        lists = tuple(v for v in node.value if isinstance(v, int)) if isinstance(node, Literal) else ()
        values[node] = hash((type(node).__name__, plain, numbers, lists, inputs, moment))
    return [values[output] for output in outputs], writes


@settings(max_examples=300, deadline=None)
@given(STEPS, st.lists(st.integers(0, 30), min_size=1, max_size=6))
def test_merging_never_changes_a_value_or_a_write(steps, asked):
    values = build(steps)
    outputs = tuple(values[place % len(values)] for place in asked)
    draft = ExpressionGraph(topological(outputs), outputs)
    new = merge_reads(draft)
    for index, node in enumerate(new.nodes):
        assert set(node.inputs()) <= set(new.nodes[:index])
    assert run(new.nodes, new.outputs) == run(draft.nodes, draft.outputs)
    assert merge_reads(new).nodes == new.nodes


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_pickles_are_equal_graphs(steps):
    node = build(steps)[-1]
    revived = pickle.loads(pickle.dumps(node))
    before, after = topological([node]), topological([revived])
    assert run(before, [node]) == run(after, [revived])
    assert key(node) == key(revived)


# -- pickles --------------------------------------------------------------------------------------------


def test_every_kind_is_pickled():
    base = ModelSource("shop.Order", "rpc", where=("a.py", 1))
    rows = Rows(base, ("id",))
    some = [
        base,
        Method(base, "filter", (Condition((("a", base),)),)),
        Delayed(base).call("x").__rpc_node__(),
        Delayed(base).first().name.__rpc_node__(),
        Item(base, slice(1, 2)),
        Operator("add", (1, 2)),
        Literal({"a": [base]}),
        rows,
        KINDS["column"](rows, "id"),
        Save("shop.Order", "rpc", {"a": base}, adding=True, update_fields=("a",)),
        Insert("shop.Order", "rpc", ("a",), ((1,),)),
        KINDS["schema"]("rpc", ("shop.Order",)),
        function("quote", using="rpc")(base, discount=5).__rpc_node__(),
        ship(lambda orders: len(orders), reads_only=True)(base).__rpc_node__(),
        KINDS["outcome"]("rpc", "r1", True),
        KINDS["about"]("rpc"),
        Element(),
        Delayed(base).map(lambda row: row.total, return_exceptions=True).__rpc_node__(),
        Delayed(base).filter_by(lambda row: row.total > 5).__rpc_node__(),
        Delayed(base).map(lambda row: row.total).sum().__rpc_node__(),
        cond(Delayed(base).exists(), 1, [2]).__rpc_node__(),
    ]
    assert {type(node) for node in some} == set(KINDS.values())
    for node in some:
        revived = pickle.loads(pickle.dumps(node))
        assert type(revived) is type(node)
        assert repr(revived) == repr(node)
        assert (revived.is_query, revived.where) == (node.is_query, node.where)
        assert key(revived) == key(node)


def test_write_pickled_twice_is_single_write():
    write = orders().create(total=1)
    one, other = pickle.loads(pickle.dumps(write.id)), pickle.loads(pickle.dumps(write.name))
    stage = plan([one, other, write]).stages[0]
    assert shown(stage.nodes).count("create") == 1


# -- size -----------------------------------------------------------------------------------------------


def test_nothing_is_as_deep_as_the_graph():
    chain = orders()
    total = orders().count()
    for number in range(30_000):
        chain = chain.filter(a=number)
        total = total + 1
    for value in (chain, total):
        stage = plan([value]).stages[0]
        assert len(stage.nodes) > 30_000
        assert key(value.__rpc_node__())
        assert len(repr(value)) < 300
        assert pickle.loads(pickle.dumps(value)).__rpc_node__().is_query == value.__rpc_node__().is_query
        assert "round trip" in value.explain()
    del chain, total, value, stage
