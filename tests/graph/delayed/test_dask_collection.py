"""Collections of dask's in our graphs, ours in theirs, and persist()."""

from __future__ import annotations

from operator import add

import dask
import dask.array
import dask.bag
import numpy
import pytest

from django_rpc import compute, delayed, gather
from django_rpc.graph.delayed.delayed import Delayed
from django_rpc.graph.nodes import ModelSource


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def theirs():
    return dask.delayed(add)(3, 4)


@pytest.fixture
def bag():
    return dask.bag.from_sequence([1, 2, 3], npartitions=2)


def test_collections_of_dask_are_values_of_our_graphs(theirs, bag):
    ours = delayed(add)(1, 2)
    assert delayed(add)(1, theirs).compute() == 8
    assert delayed(add)(1, bag.sum()).compute() == 7
    assert delayed(sum)([1, theirs, ours]).compute() == 11
    assert delayed(sum)(bag).compute() == 6
    assert delayed(lambda given: given["a"])({"a": [theirs, (bag,)]}).compute() == [7, ([1, 2, 3],)]
    assert delayed(theirs).compute() == 7
    assert delayed([bag, 1]).compute() == [[1, 2, 3], 1]
    assert (ours + theirs).compute() == 10
    assert delayed([1, 2]).map(lambda item: item + theirs).compute() == [8, 9]
    assert numpy.array_equal(delayed(add)(dask.array.ones(3), 1).compute(), numpy.full(3, 2.0))


def test_compute_and_gather_of_dask_collections(theirs, bag):
    assert compute(theirs, [bag, delayed(5)]) == (7, [[1, 2, 3], 5])
    assert gather(theirs, bag) == [7, [1, 2, 3]]


def test_collection_of_dask_as_an_argument_of_a_query(theirs, bag):
    orders = Delayed(ModelSource("shop.Order", "rpc"))
    plan = orders.filter(total=theirs, pk__in=bag).count().plan()
    assert plan.round_trips == 1
    assert [stage.service for stage in plan.stages] == [None, "rpc"]


def test_ours_in_graphs_of_dask(theirs):
    ours = delayed(add)(1, 2)
    assert (theirs + ours).compute() == 10
    assert dask.delayed(sum)([ours, theirs, 1]).compute() == 11
    assert dask.bag.from_delayed([delayed(list)([1, 2])]).compute() == [1, 2]
    assert dask.compute(ours, {"a": ours}, theirs) == (3, {"a": 3}, 7)
    assert dask.bag.from_sequence([1]).map(add, dask.delayed(ours)).compute() == [4]


def test_persist_computes_once():
    calls = []

    @delayed
    def count(step):
        calls.append(step)
        return len(calls)

    counted = count(5)
    kept = counted.persist()
    assert isinstance(kept, Delayed)
    assert (kept.compute(), (kept + 1).compute(), calls) == (1, 2, [5])
    assert kept.__dask_keys__() == counted.__dask_keys__()
    (again,) = dask.persist(count(6))
    assert (again.compute(), again.compute(), calls) == (2, 2, [5, 6])


def test_names_and_purity():
    assert delayed(add)(1, 2, dask_key_name="three").__dask_keys__() == ["three"]
    pure = delayed(add, pure=True)
    assert pure(1, 2).__dask_keys__() == pure(1, 2).__dask_keys__() != pure(1, 2, pure=False).__dask_keys__()
    impure = delayed(add)
    assert impure(1, 2).__dask_keys__() != impure(1, 2).__dask_keys__()
    with dask.config.set(delayed_pure=True):  # a setting of dask's graphs alone
        assert impure(1, 2).__dask_keys__() != impure(1, 2).__dask_keys__()
