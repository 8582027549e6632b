"""Assertions of dask's tests about plain values, containers and dataclasses in a graph, for our Delayed."""

from collections import namedtuple
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest

from django_rpc.graph.delayed.delayed import compute, delayed


def identity(x):
    return x


# -- values ---------------------------------------------------------------------------------------------------


def test_named_tuples():
    class ANamedTuple(NamedTuple):
        a: int

    with_class = delayed({"a": ANamedTuple(a=delayed(3))})
    assert with_class.compute() == {"a": ANamedTuple(a=3)}
    assert type(with_class.compute()["a"]) is ANamedTuple
    assert delayed(lambda obj: obj["a"].a)(with_class).compute() == 3
    old = namedtuple("old", "x y z")
    assert delayed(old(delayed(1), [delayed(2)], 3)).compute() == old(1, [2], 3)


@dataclass
class ANonFrozenDataClass:
    a: int


@dataclass(frozen=True)
class AFrozenDataClass:
    a: int


def return_nested(obj):
    return obj["data"].a


@pytest.mark.parametrize("cls", [ANonFrozenDataClass, AFrozenDataClass])
def test_dataclasses(cls):
    with_class = delayed({"data": cls(a=delayed(3))})
    assert delayed(return_nested)(with_class).compute() == 3
    assert delayed(return_nested)({"data": cls(a=delayed(3))}).compute() == 3


@dataclass
class CustomInit:
    a: int

    def __init__(self, b: int):
        self.a = b


def test_dataclass_with_custom_init():
    with pytest.raises(TypeError, match=r"(?s)CustomInit.*custom __init__ is not supported"):
        delayed({"data": CustomInit(b=delayed(3))})


def test_dataclass_with_custom_init_and_nothing_to_compute():
    assert delayed(return_nested)(delayed({"data": CustomInit(b=3)})).compute() == 3


@dataclass
class Unmade:
    a: int
    b: int = field(init=False)


def test_dataclass_with_a_field_that_init_does_not_take():
    data = Unmade(a=3)
    assert delayed(return_nested)(delayed({"data": Unmade(a=delayed(3))})).compute() == 3
    data.b = 4
    assert delayed(return_nested)(delayed({"data": data})).compute() == 3
    data.a = delayed(3)
    with pytest.raises(ValueError, match=r"(?s)Unmade.*`init=False` are not supported"):
        delayed(data)


def test_subclasses_of_containers_are_left_alone():
    class MyClass(dict):
        pass

    value = MyClass(a=1)
    assert delayed(value).compute() is value
    assert type(delayed(identity)(MyClass()).compute()) is MyClass


def test_slices():
    a, b = delayed(1), delayed(2)
    assert delayed(slice(a, b, 3)).compute() == slice(1, 2, 3)
    assert delayed(identity)(slice(a, b, 3)).compute() == slice(1, 2, 3)


def test_literates():
    a = delayed(1)
    b = a + 1
    assert delayed((a, b, 3)).compute() == (1, 2, 3)
    assert delayed([a, b, 3]).compute() == [1, 2, 3]
    assert delayed({a, b, 3}).compute() == {1, 2, 3}
    lit = {a: "a", b: "b", 3: "c"}
    assert delayed(lit).compute() == {1: "a", 2: "b", 3: "c"}
    assert delayed(lit)[a].compute() == "a"
    lit = {"a": a, "b": b, "c": 3}
    assert delayed(lit).compute() == {"a": 1, "b": 2, "c": 3}
    assert delayed(lit)["a"].compute() == 1


def test_keys_of_plain_data_are_those_of_its_content():
    # dask makes a new key for each, unless pure=True.  Ours cannot change, so equal data is one node.
    a = delayed(1)
    assert delayed((a, a + 1, 3)).__dask_tokenize__() == delayed((a, a + 1, 3)).__dask_tokenize__()
    assert delayed(1).__dask_tokenize__() == delayed(1).__dask_tokenize__() != delayed(2).__dask_tokenize__()
    assert delayed(object()).__dask_tokenize__() != delayed(object()).__dask_tokenize__()


def test_traverse_false():
    def fail(*args):
        raise ValueError("shouldn't have computed")

    a = delayed(fail)()
    x = [a, 1, 2, 3]
    res = delayed(x, traverse=False).compute()
    assert len(res) == 4
    assert res[0] is a
    assert res[1:] == x[1:]
    x = (fail, a, (fail, a))
    res = delayed(x, traverse=False).compute()
    assert isinstance(res, tuple)
    assert res[0] == fail
    assert res[1] is a
    x = [1, (fail, a), a]
    res = delayed(x, traverse=False).compute()
    assert isinstance(res, list)
    assert res[0] == 1
    assert res[1][0] == fail
    assert res[1][1] is a
    assert res[2] is a
    # traverse=False still hits top level
    assert delayed(delayed(1), traverse=False).compute() == 1
    assert compute([a], 2, traverse=False) == ([a], 2)
    assert compute(delayed(1), traverse=False) == (1,)


def test_numpy():
    numpy = pytest.importorskip("numpy")
    # numpy before 2 follows the attribute `dtype` until Python stops it, as with dask's Delayed.
    with pytest.raises((ValueError, TypeError, RecursionError)):
        numpy.dtype(delayed(1))
    array = delayed(numpy.array([1], dtype="f8"))
    assert array.dtype.compute() == numpy.dtype("f8")
    assert (array + numpy.array([1.0])).sum().compute() == 2
    assert array.__dask_tokenize__() != delayed(numpy.array([1.0])).__dask_tokenize__()
    assert (
        delayed(identity, pure=True)(numpy.arange(3)).__dask_tokenize__()
        == delayed(identity, pure=True)(numpy.arange(3)).__dask_tokenize__()
    )
