"""Plans, their words, and compute of many things at once."""

import collections
import dataclasses

import pytest

from django_rpc.graph.delayed.delayed import Delayed, Output, compute, delayed
from django_rpc.graph.delayed.runner import Runner
from django_rpc.graph.errors import NoRunner
from django_rpc.graph.format import describe
from django_rpc.graph.nodes import ModelSource
from django_rpc.graph.plan import phases, plan


def test_one_service_is_one_stage(orders, clients):
    count, write = orders.count(), orders.create(client=clients.first())
    made = plan([write.id, Output(count.__rpc_node__()), orders.count()])
    [stage] = made.stages
    assert stage.service == "rpc"
    assert stage.writes
    asked = [stage.nodes[index] for index in stage.outputs]
    assert [describe(node) for node in asked] == [
        "Order.objects.create(client=Client.objects.first()).id",
        "Order.objects.count()",
        "Order.objects.count()",
    ]
    assert asked[1] is not asked[2], "a write stands between the two"
    assert made.values([["id", "count", "again"]]) == ["id", "count", "again"]


def test_independent_services_are_a_stage_each(orders, products):
    made = plan([products.count(), orders.count(), delayed([1]), products.first()])
    assert [stage.service for stage in made.stages] == ["rpc", "stock", None]
    assert (made.round_trips, made.rounds) == (2, 1)
    assert [len(stage.nodes) for stage in made.stages] == [2, 3, 1]
    assert made.values([["orders"], ["products", "first"], ["plain"]]) == ["products", "orders", "plain", "first"]
    assert made.explain().startswith("2 round trips (in 1 round), 6 nodes, 4 outputs.")


def test_plain_data_is_not_requested():
    [stage] = plan([delayed([1, 2])]).stages
    assert stage.service is None
    assert plan([delayed([1, 2])]).round_trips == 0


def test_each_phase_has_a_result(orders):
    results = phases(orders.all().count(), orders.all().count())
    assert list(results) == ["collect", "rewrites", "place", "schedule", "partition", "route"]
    assert len(results["collect"].nodes) == 5
    assert len(results["rewrites"].nodes) == 3


def test_the_words_of_a_plan(orders):
    writes = [orders.create(total=number) for number in range(7)]
    text = plan(writes).explain()
    assert text.splitlines()[0] == "1 round trip, 8 nodes, 7 outputs."
    assert "7 writes, all in one transaction" in text
    assert "writes Order.objects.create(total=0)" in text
    assert "7 writes in all" in text
    assert "7 outputs in all" in text
    assert "no transaction" in orders.count().explain()


# -- compute ------------------------------------------------------------------------------------------------

Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass(frozen=True)
class Pair:
    left: object
    right: object
    made: object = dataclasses.field(init=False, default=0)


@dataclasses.dataclass
class Plain:
    n: int


def test_compute_keeps_container_shapes(orders, clients, runner):
    first, count = orders.first(), clients.count()
    plain = Plain(1)
    text = {"first": "Order.objects.first()", "count": "Client.objects.count()"}
    values = compute(
        first,
        [count, (first,), 3],
        {"k": {first}, count: 1},
        Point(first, [count]),
        Pair(count, 1),
        plain,
        "text",
        None,
        range(3),
        priority=True,
    )
    assert values == (
        text["first"],
        [text["count"], (text["first"],), 3],
        {"k": {text["first"]}, text["count"]: 1},
        Point(text["first"], [text["count"]]),
        Pair(text["count"], 1),
        plain,
        "text",
        None,
        range(3),
    )
    assert values[5] is plain
    [(outputs, options)] = runner.messages
    assert len(outputs) == 8
    assert options == {"timeout": None, "priority": True}


class Listed(list):
    """A list with an attribute, like the list of a REST framework."""


class Triple(tuple):
    __slots__ = ()

    def __new__(cls, a, b, c):
        return super().__new__(cls, (a, b, c))


def subclasses(value):
    listed = Listed([value])
    listed.note = "kept"
    by_default = collections.defaultdict(list, {"k": value})
    return {
        "ordered dict": collections.OrderedDict([("k", value), ("l", 1)]),
        "default dict": by_default,
        "list": listed,
        "tuple": Triple(1, value, 3),
        "set": type("Members", (set,), {})([value]),
        "frozenset": type("Frozen", (frozenset,), {})([value]),
        "deque": collections.deque([value], maxlen=3),
        "nested": [collections.OrderedDict(k=Triple(value, [value], 0))],
    }


@pytest.mark.parametrize("kind", subclasses(None))
def test_subclasses_of_containers_are_computed(orders, kind):
    expected = subclasses("Order.objects.first()")[kind]
    given = subclasses(orders.first())[kind]
    [computed] = compute(given)
    passed = delayed(lambda value: value)(given).compute()
    for value in (computed, passed):
        assert type(value).__name__ == type(expected).__name__
        assert list(value) == list(expected)
        assert repr(value) == repr(expected)
        assert getattr(value, "default_factory", None) is getattr(expected, "default_factory", None)
        assert getattr(value, "__dict__", {}) == getattr(expected, "__dict__", {})
        assert getattr(value, "maxlen", None) == getattr(expected, "maxlen", None)


@pytest.mark.parametrize("kind", subclasses(None))
def test_subclasses_of_containers_without_delayed_are_the_same_objects(kind):
    given = subclasses(1)[kind]
    if kind != "nested":
        assert compute(given)[0] is given
        assert delayed(lambda value: value)(given).compute() is given


def test_plain_values_send_nothing(runner):
    assert compute() == ()
    assert compute(1, [2]) == (1, [2])
    assert not runner.messages


def test_one_message_per_service(orders, products, runner, other_runner):
    values = compute([orders.count(), products.count(), orders.first(), delayed([1])], timeout=3)
    assert values == (["Order.objects.count()", "Product.objects.count()", "Order.objects.first()", [1]],)
    assert [len(outputs) for outputs, _ in runner.messages] == [2]
    assert [len(outputs) for outputs, _ in other_runner.messages] == [1]


def test_finish_belongs_to_its_output(orders, runner):
    loud = Delayed(orders.count().__rpc_node__(), str.upper)
    assert compute(loud, orders.count()) == ("ORDER.OBJECTS.COUNT()", "Order.objects.count()")


def test_futures_are_waited_for_not_sent_again(orders, runner, sent_future):
    future = orders.create(total=1).submit()
    assert compute([future], orders.count(), timeout=7) == (["Order.objects.create(total=1)"], "Order.objects.count()")
    assert len(runner.messages) == 2
    foreign = sent_future("value")
    assert compute([foreign], timeout=7) == (["value"],)
    assert foreign.timeouts == [7]


def test_querysets_convert_the_answer(orders, runner):
    class Queryset:
        def __rpc_node__(self):
            return orders.__rpc_node__()

        def delayed(self):
            return Delayed(orders.__rpc_node__(), list)

    assert compute([Queryset()]) == ([list("Order.objects")],)
    assert compute(orders.__rpc_node__(), orders) == ("Order.objects", "Order.objects")


def test_errors_before_any_message(orders, products, runner):
    with pytest.raises(NoRunner, match="'nobody'"):
        compute(orders.count(), ModelSource("a.B", "nobody"))
    assert not runner.messages


def test_the_session_of_a_source_is_used_only_for_its_service(products, runner, other_runner):
    unused = Delayed(ModelSource("shop.Order", "rpc", runner=runner))
    assert unused.__rpc_node__().runner is runner
    assert compute(products.count(), products.first()) == ("Product.objects.count()", "Product.objects.first()")
    assert not runner.messages
    assert len(other_runner.messages) == 1


def test_the_protocol_of_runners(runner):
    assert isinstance(runner, Runner)
    assert not isinstance(object(), Runner)
