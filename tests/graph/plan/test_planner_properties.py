"""Evaluation through the planner is evaluation step by step: graphs of local functions and two services."""

import asyncio
import operator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_rpc.graph.delayed.delayed import Delayed, Output, compute, delayed
from django_rpc.graph.delayed.lambdas import cond
from django_rpc.graph.delayed.runner import engine
from django_rpc.graph.nodes import ModelSource
from django_rpc.graph.plan.pipeline import plan
from tests.graph.memory import MemoryService, Query

ADDED = ("add", "sub", "mul", "eq", "lt")


def pair(left, right):
    return (left, [right])


def total(values, **more):
    return sum(_numbers(values)) + sum(_numbers(more))


def _numbers(value):
    if isinstance(value, dict):
        return [n for item in value.values() for n in _numbers(item)]
    if isinstance(value, list | tuple | set | frozenset):
        return [n for item in value for n in _numbers(item)]
    return [value or 0]


def number(value):
    return total(value) % 7 - 3


class World:
    """The same steps, recorded with Delayed and executed at once, each on separate lists."""

    def __init__(self):
        tables = {"a": [3, 1, 2], "b": [5, 0, -2, 4]}
        self.services = {name: MemoryService(name, {f"{name}.N": list(rows)}) for name, rows in tables.items()}
        self.mirror = {name: MemoryService(name, {f"{name}.N": list(rows)}) for name, rows in tables.items()}
        self.queries = []
        for name, service in self.services.items():
            source = Delayed(ModelSource(f"{name}.N", name, runner=service))
            self.queries.append((source, self.mirror[name].table(f"{name}.N")))
        self.values = [(delayed(2), 2)]

    def value(self, index):
        return self.values[index % len(self.values)]

    def query(self, index):
        return self.queries[index % len(self.queries)]

    def step(self, kind, one, other, name):
        (left, l_value), (right, r_value) = self.value(one), self.value(other)
        query, rows = self.query(one)
        if kind == "count":
            self.values.append((query.count(), rows.count()))
        elif kind == "filter":
            wanted, value = self.as_number(right, r_value)
            self.queries.append((query.filter(n__gt=wanted), rows.filter(n__gt=value)))
        elif kind == "nested":
            inner, inner_rows = self.query(other)
            if inner.__rpc_node__() is not query.__rpc_node__():
                # A query within another service's query is sent as rows when that query is read.
                self.queries.append((query.filter(n__in=inner), rows.filter(n__in=inner_rows)))
        elif kind == "create":
            base = 0 if one % 2 else 1
            wanted, value = self.as_number(right, r_value)
            source, table = self.queries[base]
            self.values.append((source.create(n=wanted), table.create(n=value)))
        elif kind == "operator":
            (left, l_value), (right, r_value) = self.as_number(left, l_value), self.as_number(right, r_value)
            function = getattr(operator, name)
            self.values.append((function(left, right), function(l_value, r_value)))
        elif kind == "pair":
            self.values.append((delayed(pair, pure=True)(left, {"k": right}), pair(l_value, {"k": r_value})))
        elif kind == "total":
            self.values.append(
                (delayed(total)([left, (right,)], more=left), total([l_value, (r_value,)], more=l_value))
            )
        elif kind == "map":
            wanted, value = self.as_number(right, r_value)
            if other % 2:
                self.values.append((query.map(lambda n: n + wanted), [n + value for n in rows.read()]))
            else:
                made = query.map(lambda n: cond(n > wanted, [n, wanted], 0))
                self.values.append((made, [[n, value] if n > value else 0 for n in rows.read()]))
        elif kind == "filter_by":
            wanted, value = self.as_number(right, r_value)
            self.values.append(
                (query.filter_by(lambda n: n < wanted).len(), len([n for n in rows.read() if n < value]))
            )
        elif kind == "map here":
            wanted, value = self.as_number(right, r_value)
            made = query.map(lambda n: delayed(pair)(n, [wanted]))
            self.values.append((made, [pair(n, [value]) for n in rows.read()]))
        elif kind == "map there":
            inner, inner_rows = self.query(other)
            numbers = query.values_list("n", flat=True)
            counts = [inner_rows.filter(n__gt=n).count() for n in rows.read()]
            self.values.append((numbers.map(lambda n: inner.filter(n__gt=n).count()), counts))
            self.values.append(
                (
                    delayed(sorted)([3, 1]).map(lambda n: inner.filter(n__gt=n).count()),
                    [inner_rows.filter(n__gt=n).count() for n in (1, 3)],
                )
            )
        elif kind == "container":
            self.values.append((delayed([left, (right, 1)]), [l_value, (r_value, 1)]))

    @staticmethod
    def as_number(made, value):
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1000:
            return made, value
        return delayed(number)(made), number(value)


KINDS = ("count", "filter", "operator", "pair", "total", "container", "map", "filter_by", "create", "nested")
#: A list that is mapped at another place is read there when it is, as every query: no moment to compare writes with.
AWAY = ("map here", "map there")


def steps(kinds):
    one = st.tuples(st.sampled_from(kinds), st.integers(0, 30), st.integers(0, 30), st.sampled_from(ADDED))
    return st.lists(one, min_size=1, max_size=40)


def check(world, asynchronous=False):
    found = [made for made, _ in world.values]
    expected = [value for _, value in world.values]
    if asynchronous:
        outputs = [Output(one.__rpc_node__()) for one in found]
        got = asyncio.run(engine().acompute(outputs, list(world.services.values())))
    else:
        (got,) = compute(found)
    assert got == expected
    for name, service in world.services.items():
        assert service.tables == world.mirror[name].tables
    made = plan(found)
    assert sum(len(service.requests) for service in world.services.values()) == made.round_trips
    for number, stage in enumerate(made.stages):
        assert all(before < number for before in stage.after)
    made.explain()


@settings(max_examples=300, deadline=None)
@given(steps([*(kind for kind in KINDS if kind not in ("create", "nested")), *AWAY]))
def test_reads(program):
    world = World()
    for step in program:
        world.step(*step)
    check(world)


@settings(max_examples=300, deadline=None)
@given(steps([kind for kind in KINDS if kind != "nested"]))
def test_reads_and_writes_keep_their_order(program):
    world = World()
    for step in program:
        world.step(*step)
    check(world)


@settings(max_examples=200, deadline=None)
@given(steps([*(kind for kind in KINDS if kind != "create"), *AWAY]))
def test_queries_within_each_other_across_services(program):
    world = World()
    for step in program:
        world.step(*step)
    check(world)


@settings(max_examples=60, deadline=None)
@given(steps([kind for kind in KINDS if kind != "nested"]))
def test_the_same_without_blocking_an_event_loop(program):
    world = World()
    for step in program:
        world.step(*step)
    check(world, asynchronous=True)


def test_the_service_in_memory_is_lazy():
    rows = [1]
    query = Query(lambda: list(rows))
    rows.append(2)
    assert query.count() == 2


@pytest.mark.parametrize("length", [10, 5000])
def test_a_long_chain_of_local_steps_does_not_recurse(length):
    value = delayed(0)
    for _ in range(length):
        value = delayed(operator.add)(value, 1)
    assert value.compute() == length
    assert plan([value]).round_trips == 0
