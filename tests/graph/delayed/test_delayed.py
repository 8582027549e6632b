"""The Delayed: recorded nodes, refused operations, and their errors."""

import asyncio
import copy
import operator
import pickle

import pytest

from django_rpc.graph.delayed import delayed as module
from django_rpc.graph.delayed.delayed import Delayed, attribute, delayed
from django_rpc.graph.errors import NoRunner
from django_rpc.graph.nodes import Attr, Call, Item, Literal, Method, ModelSource, Opaque, Operator
from django_rpc.graph.nodes.remote_function import function


def line():
    import sys

    return sys._getframe(1).f_lineno


def test_methods_of_a_query_become_method_nodes(orders):
    node = orders.filter(total__gt=5, tags=["a"]).__rpc_node__()
    assert isinstance(node, Method)
    assert (node.parent, node.name, node.args, node.kwargs) == (
        orders.__rpc_node__(),
        "filter",
        (),
        {"total__gt": 5, "tags": ["a"]},
    )
    assert node.is_query
    assert not orders.count().__rpc_node__().is_query


def test_a_node_knows_the_line_that_built_it(orders):
    order, here = orders.first(), line()
    built = [orders.filter(a=1), order.name, order.name.upper(), order["a"], order + 1, 1 - order, orders.call("x")]
    assert order.__rpc_node__().where == (__file__, here)
    assert {one.__rpc_node__().where for one in built} == {(__file__, here + 1)}


def test_arguments_at_any_depth_are_nodes(orders, clients):
    vip = clients.filter(tier="vip").values("pk")
    node = orders.filter(client__in=vip, other={"deep": [(vip,)]}).__rpc_node__()
    assert node.kwargs["client__in"] is vip.__rpc_node__()
    assert node.kwargs["other"]["deep"][0][0] is vip.__rpc_node__()
    assert list(node.inputs()) == [orders.__rpc_node__(), vip.__rpc_node__(), vip.__rpc_node__()]


@pytest.mark.parametrize(
    "built",
    [
        lambda a, b: a.filter(x=b),
        lambda a, b: a.filter(x__in=[b]),
        lambda a, b: a.filter(x__in=[1, {"k": (b,)}]),
        lambda a, b: a.call("method", [b]),
        lambda a, b: a.values("x")[slice(b.count())],
        lambda a, b: function("quote", using="rpc")([b], key={"k": b}),
        lambda a, b: operator.add(a.count(), [b]),
        lambda a, b: operator.add([b], a.count()),
        lambda a, b: operator.add(delayed(1), [b]),
    ],
)
def test_runner_of_nested_argument(orders, products, other_runner, built):
    assert built(orders, products).plan().runners["stock"] is other_runner


def test_registered_methods(orders):
    node = orders.call("recount", 1, name="x", self_="y").__rpc_node__()
    assert isinstance(node, Call)
    assert (node.name, node.args, node.kwargs) == ("recount", (1,), {"name": "x", "self_": "y"})


def test_attributes_of_a_value_and_their_calls(orders):
    name = orders.first().customer.name
    assert isinstance(name.__rpc_node__(), Attr)
    upper = name.upper().__rpc_node__()
    assert isinstance(upper, Method)
    assert upper.parent is name.__rpc_node__()
    assert upper.name == "upper"
    # A field may have the name of a method: it is one only when it is called.
    assert isinstance(orders.first().count.__rpc_node__(), Attr)


def test_items_and_slices(orders):
    assert orders[:5].__rpc_node__().is_query
    assert isinstance(orders[0].__rpc_node__(), Item)
    assert not orders[0].__rpc_node__().is_query
    assert orders.first()["a"].__rpc_node__().key == "a"
    count = orders.count()
    assert orders.first()[count].__rpc_node__().key is count.__rpc_node__()


@pytest.mark.parametrize("name", "add sub mul truediv floordiv mod pow matmul lshift rshift and_ or_ xor".split())
def test_operators_in_both_directions(orders, name):
    count = orders.count()
    function = getattr(operator, name)
    right, left = function(count, 2).__rpc_node__(), function(2, count).__rpc_node__()
    assert isinstance(right, Operator)
    assert (right.name, right.args) == (name, (count.__rpc_node__(), 2))
    assert (left.name, left.args) == (name, (2, count.__rpc_node__()))


@pytest.mark.parametrize("name", "eq ne lt le gt ge".split())
def test_comparisons_build_nodes(orders, name):
    count = orders.count()
    assert getattr(operator, name)(count, 2).__rpc_node__().args == (count.__rpc_node__(), 2)


@pytest.mark.parametrize("name", "neg pos invert abs".split())
def test_unary_operators(orders, name):
    count = orders.count()
    node = getattr(operator, name)(count).__rpc_node__()
    assert (node.name, node.args) == (name, (count.__rpc_node__(),))


@pytest.mark.parametrize(("sign", "name"), [(operator.and_, "and_"), (operator.or_, "or_"), (operator.xor, "xor")])
def test_two_queries_join_to_a_query(orders, sign, name):
    node = sign(orders.filter(a=1), orders.filter(b=2)).__rpc_node__()
    assert isinstance(node, Method)
    assert node.name == name
    assert node.is_query


def test_the_hash_is_the_identity_although_equality_builds_a_node(orders):
    one, other = orders.first(), orders.first()
    assert len({one, other}) == 2
    assert {one: 1}[one] == 1
    assert isinstance(one == other, Delayed)


REFUSALS = {
    "bool": (lambda d: bool(d), TypeError, r"compute\(\)"),
    "not": (lambda d: not d, TypeError, r"compute\(\)"),
    "in a list": (lambda d: d in [1, 2], TypeError, "'in' cannot ask"),
    "iterate": (lambda d: list(d), TypeError, r"for row in d\.compute\(\)"),
    "unpack": (lambda d: (lambda a, b: a)(*d), TypeError, "unpacked"),
    "len": (lambda d: len(d), TypeError, r"len\(d\.compute\(\)\)"),
    "contains": (lambda d: 1 in d, TypeError, r"x in d\.compute\(\)"),
    "index": (lambda d: [1, 2][d], TypeError, r"d\.compute\(\)"),
    "range": (lambda d: range(d), TypeError, r"d\.compute\(\)"),
    "int": (lambda d: int(d), TypeError, r"int\(d\.compute\(\)\)"),
    "float": (lambda d: float(d), TypeError, r"float\(d\.compute\(\)\)"),
    "reversed": (lambda d: reversed(d), TypeError, r"reversed\(d\.compute\(\)\)"),
    "set attribute": (lambda d: setattr(d, "name", 1), TypeError, r"\.update\(name=\.\.\.\)"),
    "set slot": (lambda d: setattr(d, "node", 1), TypeError, "cannot be changed"),
    "delete attribute": (lambda d: delattr(d, "name"), TypeError, "cannot be deleted"),
    "set item": (lambda d: operator.setitem(d, 0, 1), TypeError, "cannot be changed"),
    "delete item": (lambda d: operator.delitem(d, 0), TypeError, r"\.delete\(\)"),
    "call a value": (lambda d: d(), TypeError, "cannot be called"),
    "unknown method": (lambda d: d.uper(), AttributeError, "Did you mean upper"),
    "unregistered method": (lambda d: d.frobnicate(), AttributeError, r"\.call\('frobnicate'"),
    "private name": (lambda d: d._meta, AttributeError, "_meta"),
    "double underscore": (lambda d: d.a__b, ValueError, "not a valid name"),
    "unsendable": (lambda d: d + object(), TypeError, "cannot be sent"),
    "unsendable argument": (lambda d: d.name.join(object()), TypeError, "cannot be sent"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refused_operations_of_value(orders, case):
    do, error, text = REFUSALS[case]
    with pytest.raises(error, match=text):
        do(orders.first())


QUERY_REFUSALS = {
    "bool": (lambda q: bool(q), TypeError, r"d\.exists\(\)\.compute\(\)"),
    "len": (lambda q: len(q), TypeError, r"d\.count\(\)"),
    "contains": (lambda q: 1 in q, TypeError, r"\.exists\(\)"),
    "reversed": (lambda q: reversed(q), TypeError, r"d\.reverse\(\)"),
    "typo": (lambda q: q.fliter(a=1), AttributeError, "Did you mean filter"),
    "typo of ours": (lambda q: q.comput(), AttributeError, "compute"),
    "field": (lambda q: q.total, AttributeError, r"\.values\('total'\)"),
    "method of instances": (lambda q: q.save(), AttributeError, r"\.get\(\.\.\.\)\.save\(\)"),
    "internal": (lambda q: q.sticky(), AttributeError, "sticky"),
    "method not called": (lambda q: q.filter.total, AttributeError, r"\.filter\(\.\.\.\)"),
    "truth of a method": (lambda q: bool(q.exists), TypeError, r"\.exists\(\.\.\.\)"),
    "negative index": (lambda q: q[-1], ValueError, r"\.last\(\)"),
    "negative slice": (lambda q: q[:-1], ValueError, r"\.reverse\(\)"),
    "step": (lambda q: q[::2], TypeError, "no step"),
    "text key": (lambda q: q["a"], TypeError, r"\.filter\(\)"),
    "truth as key": (lambda q: q[True], TypeError, "whole numbers"),
    "no key": (lambda q: q[None], TypeError, "whole numbers"),
    "plus": (lambda q: q + 1, TypeError, r"\.count\(\)"),
    "reflected": (lambda q: 1 + q, TypeError, r"\.count\(\)"),
    "equal": (lambda q: q == 1, TypeError, r"\.get\(\)"),
    "and a value": (lambda q: q & q.count(), TypeError, "another query"),
    "call": (lambda q: q(), TypeError, "cannot be called"),
    "unsendable": (lambda q: q.filter(a=object()), TypeError, "cannot be sent"),
    "bad name": (lambda q: q.call("__init__"), ValueError, "not a valid name"),
}


@pytest.mark.parametrize("case", QUERY_REFUSALS)
def test_refused_operations_of_query(orders, case):
    do, error, text = QUERY_REFUSALS[case]
    with pytest.raises(error, match=text):
        do(orders)


def test_with_and_async_for_are_refused(orders):
    with pytest.raises(TypeError, match="context manager"), orders:
        pass

    async def walk():
        async for _ in orders:
            pass

    with pytest.raises(TypeError, match="for row in await d"):
        asyncio.run(walk())


def test_protocol_probes_raise_attribute_error(orders):
    for name in ("_repr_html_", "__array__", "_meta", "__wrapped__", "_ipython_display_", "__fspath__"):
        assert not hasattr(orders, name)
        assert not hasattr(orders.first(), name)


def test_list_membership_by_identity(orders):
    one = orders.first()
    assert one in [one]


def test_compute_sends_one_output_with_its_options(orders, runner):
    value = Delayed(orders.__rpc_node__(), finish=str.upper).compute(timeout=5, priority=True)
    assert value == "ORDER.OBJECTS"
    [(outputs, options)] = runner.messages
    assert outputs == [orders.__rpc_node__()]
    assert options == {"timeout": 5, "priority": True}


def test_derived_delayed_drops_finish(orders):
    first = Delayed(orders.first().__rpc_node__(), finish=str.upper)
    for built in (first.name, first["a"], first + 1, 1 + first, first.call("x"), first.name.upper(), -first):
        assert built._finish is None


def test_submit_and_await(orders):
    assert orders.count().submit().result() == "Order.objects.count()"

    async def ask():
        return await orders.count()

    assert asyncio.run(ask()) == "Order.objects.count()"


def test_one_source_with_a_session_is_enough_for_its_service(orders, runner):
    bare = Delayed(ModelSource("shop.Client", "rpc"))
    for made in (bare.filter(order=orders).count(), bare.call("x", orders), bare.count() + orders.count()):
        made.compute()
    assert len(runner.messages) == 3


def test_without_a_runner_the_service_finds_it(orders, runner, monkeypatch):
    resolvers = []
    monkeypatch.setattr("django_rpc.graph.delayed.runner.resolvers", resolvers)
    bare = Delayed(ModelSource("shop.Order", "rpc"))
    with pytest.raises(NoRunner, match="'rpc'"):
        bare.compute()
    resolvers.append(lambda service: runner if service == "rpc" else None)
    assert bare.count().compute() == "Order.objects.count()"
    assert delayed([1]).compute() == [1]


def test_runners_of_two_services(orders, products, runner, other_runner):
    mixed = orders.filter(sku__in=products.values("sku")).count()
    assert mixed.plan().runners == {"rpc": runner, "stock": other_runner}


def test_plan_and_explain(orders):
    first = orders.filter(a=1).first()
    assert first.plan().round_trips == 1
    assert "service 'rpc'" in first.explain()


def test_completion_lists_methods(orders):
    assert {"filter", "first", "compute", "call", "plan"} <= set(dir(orders))
    assert "sticky" not in dir(orders)
    assert "save" not in dir(orders)
    assert {"upper", "save", "compute"} <= set(dir(orders.first()))


def test_repr_is_source_expression(orders):
    assert repr(orders.filter(tier="vip").first()) == "<Delayed Order.objects.filter(tier='vip').first()>"
    assert repr(orders.filter) == "<method Order.objects.filter>"


def test_attributes_that_we_have_ourselves(orders):
    assert attribute(orders.first(), "plan").__rpc_node__().name == "plan"
    assert attribute(orders, "explain")().__rpc_node__().name == "explain"


def test_delayed_of_plain_data_and_of_nodes(orders):
    assert delayed(orders) is orders
    assert delayed(orders.__rpc_node__()).__rpc_node__() is orders.__rpc_node__()
    literal = delayed([orders, 1]).__rpc_node__()
    assert isinstance(literal, Literal)
    assert literal.value == [orders.__rpc_node__(), 1]
    assert isinstance(delayed(object()).__rpc_node__(), Opaque)


def test_copies_are_the_same_value(orders):
    write = orders.create(total=1)
    assert copy.copy(write) is write
    assert copy.deepcopy([write])[0] is write
    assert copy.deepcopy(write.__rpc_node__()) is write.__rpc_node__()


def test_pickles_find_their_session_by_the_name_of_the_service():
    node = Method(ModelSource("shop.Order", "rpc", runner=_Named()), "count", where=("here.py", 3))
    revived = pickle.loads(pickle.dumps(Delayed(node, str)))
    assert revived.plan().runners == {}
    assert revived._finish is str
    assert revived.__rpc_node__().where == ("here.py", 3)
    assert repr(revived) == "<Delayed Order.objects.count()>"


class _Named:
    """A runner that cannot be pickled itself."""

    service = "rpc"

    def __reduce__(self):
        raise AssertionError("the runner was pickled")


RESERVED = set("call compute dask explain filter_by map persist plan profile submit visualize".split())


def test_everything_public_is_reserved_knowingly():
    assert {name for name in dir(Delayed) if not name.startswith("_")} == RESERVED
    exported = {"Delayed", "DelayedFunction", "Output", "Runner", "attribute", "compute", "delayed"}
    assert set(module.__all__) == exported


@pytest.mark.parametrize("name", ["node", "runner", "finish", "key", "graph", *sorted(RESERVED - {"dask"})])
def test_field_with_any_name_is_an_attribute_of_a_value(orders, name):
    order = orders.first()
    field = getattr(order, name)
    assert repr(field) == f"<Delayed Order.objects.first().{name}>"
    assert repr(field.code + 1) == f"<Delayed (Order.objects.first().{name}.code + 1)>"
    assert repr(orders.filter(x=field)) == f"<Delayed Order.objects.filter(x=Order.objects.first().{name})>"
    assert repr(pickle.loads(pickle.dumps(field))) == repr(field)
    assert repr(attribute(order, name)) == repr(field)


@pytest.mark.parametrize("name", ["node", "runner", "finish", "key", "graph", *sorted(RESERVED)])
def test_field_with_any_name_is_an_attribute_of_the_element_of_a_map(orders, name):
    made = orders.map(lambda order: (getattr(order, name), getattr(order.client, name)))
    assert repr(made) == f"<Delayed Order.objects.map(lambda row: (row.{name}, row.client.{name}))>"


def test_method_is_called_where_a_field_has_its_name(orders):
    order = orders.first()
    assert order.plan().round_trips == 1
    assert order.explain(ask=False).startswith("1 round trip")
    assert repr(order.call("pay", 5)) == "<Delayed Order.objects.first().call('pay', 5)>"
    assert repr(order.tags.map(lambda tag: tag.map.key)).endswith(".tags.map(lambda row: row.map.key)>")
    assert repr(order.map(lambda tag: tag)).endswith(".first().map(lambda row: row)>")
    assert list(order.dask) == order.__dask_keys__()
    assert Delayed.compute.__name__ == "compute"


def test_method_of_a_query_is_no_field(orders):
    assert repr(orders.plan).startswith("<bound method")
    assert repr(orders.map).startswith("<bound method")
