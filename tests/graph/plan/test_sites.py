"""The place of a lambda: the place of its elements, or the place that its nodes require."""

from __future__ import annotations

import pytest

from django_rpc import cond, delayed, function
from django_rpc.graph.delayed.delayed import Delayed, compute
from django_rpc.graph.nodes import ModelSource
from tests.graph.memory import MemoryService


def twice(number):
    return 2 * number


@pytest.fixture
def services():
    return MemoryService("a", {"a.N": [3, 1, 2]}), MemoryService("b", {"b.N": [5, 0, 2]})


@pytest.fixture
def a(services):
    return Delayed(ModelSource("a.N", "a", runner=services[0]))


@pytest.fixture
def b(services):
    return Delayed(ModelSource("b.N", "b", runner=services[1]))


def numbers(query):
    return query.values_list("n", flat=True)


#: name: (the map, its value, the stages' places in their order)
MAPS = {
    "its own service": (lambda a, b: a.map(lambda n: n * 2), [6, 2, 4], ["a"]),
    "a local function": (lambda a, b: a.map(lambda n: delayed(twice)(n)), [6, 2, 4], ["a", None]),
    "of a local list": (
        lambda a, b: delayed(sorted)([3, 1]).map(lambda n: a.filter(n__gt=n).count()),
        [2, 0],
        [None, "a"],
    ),
    "a local value": (lambda a, b: a.map(lambda n: n + delayed(twice)(5)), [13, 11, 12], [None, "a"]),
    "another service's value": (lambda a, b: a.map(lambda n: n + b.count()), [6, 4, 5], ["b", "a"]),
    "another service's query": (
        lambda a, b: numbers(a).map(lambda n: b.filter(n__gt=n).count()),
        [1, 2, 1],
        ["a", "b"],
    ),
    "a branch elsewhere": (lambda a, b: a.map(lambda n: cond(n > 1, b.count(), n)), [3, 1, 3], ["b", "a"]),
    "chosen here": (lambda a, b: a.filter_by(lambda n: delayed(twice)(n) > 2).len(), 2, ["a", None]),
    "chosen there": (lambda a, b: numbers(a).filter_by(lambda n: b.filter(n__gt=n).count() > 1), [1], ["a", "b"]),
    "maps of maps": (
        lambda a, b: numbers(a).map(lambda n: b.map(lambda m: m + n)),
        [[8, 3, 5], [6, 1, 3], [7, 2, 4]],
        ["a", "b"],
    ),
    "a map's list mapped elsewhere": (
        lambda a, b: a.map(lambda n: (n, n + 1)).map(lambda pair: delayed(twice)(pair[0]) + pair[1]),
        [10, 4, 7],
        ["a", None],
    ),
}


@pytest.mark.parametrize("name", MAPS)
def test_it_runs_where_it_can(name, a, b):
    make, value, places = MAPS[name]
    made = make(a, b)
    assert [stage.service for stage in made.plan().stages] == places
    assert made.compute() == value


def test_a_lambda_that_needs_two_places_is_an_error_that_names_both(a, b):
    made = numbers(a).map(lambda n: b.filter(n__gt=delayed(twice)(n)).count())
    with pytest.raises(TypeError, match="needs several: twice") as caught:
        made.compute()
    said = str(caught.value)
    assert "twice(row) runs here, in the client, " in said
    assert "is at service 'b'" in said
    assert f"written at {__file__}:" in said
    assert "the second one works on the list of the first" in said


def test_element_relation_requires_its_service(a):
    made = a.map(lambda n: delayed(twice)(n.orders.count()))
    with pytest.raises(TypeError, match=r"row.orders.count\(\) is at service 'a'"):
        made.plan()
    assert made.__rpc_node__()  # no error before it is planned
    # An operation on any value runs at any place.
    assert [stage.service for stage in a.map(lambda n: delayed(twice)(n.name.upper())).plan().stages] == ["a", None]


def test_rows_belong_to_their_service(a, b):
    with pytest.raises(TypeError, match=r"rows of another service mean nothing there\. Give it values") as caught:
        a.map(lambda n: b.filter(n=n).count()).plan()
    assert "runs at service 'b', because of N.objects.filter(n=row)" in str(caught.value)
    with pytest.raises(TypeError, match="rows of another service"):
        a.filter_by(lambda n: n > 1).map(lambda n: function("f", using="b")(n)).plan()


def test_query_looked_up_and_mapped_in_stage_is_error(a, b):
    query = numbers(a)
    with pytest.raises(TypeError, match="is looked up at service 'b', and mapped there too"):
        compute(query.map(lambda n: b.filter(n__gt=n).count()), b.filter(n__in=query).count())


def test_lambda_for_two_services_is_refused(a, b):
    """Equal lambdas are one node, which is at both."""
    assert compute(a.map(lambda n: n + 1), b.map(lambda n: n + 1)) == ([4, 2, 3], [6, 1, 3])
