"""Assertions of dask's tests of ``dask.delayed.Delayed``, for our Delayed. Each difference has a reason."""

import functools
import operator
import pickle
import threading
import types
from random import random

import cloudpickle
import pytest

from django_rpc.graph.delayed.delayed import Delayed, DelayedFunction, compute, delayed
from django_rpc.graph.plan import digraph

add = operator.add


def identity(x):
    return x


def inc(x):
    return x + 1


@delayed
def modlevel_delayed1(x):
    return x + 1


@delayed(pure=False)
def modlevel_delayed2(x):
    return x + 1


# -- calls ----------------------------------------------------------------------------------------------------


def test_functions():
    add2 = delayed(add)
    assert add2(1, 2).compute() == 3
    assert (add2(1, 2) + 3).compute() == 6
    assert add2(add2(1, 2), 3).compute() == 6
    a = delayed(1)
    assert a.compute() == 1
    b = add2(add2(a, 2), 3)
    assert a.__rpc_node__() in digraph(b)


def test_keyword_arguments():
    def mysum(a, b, c=(), **kwargs):
        return a + b + sum(c) + sum(kwargs.values())

    dmysum = delayed(mysum)
    assert dmysum(1, 2, c=[delayed(3), 0], four=dmysum(2, 2)).compute() == 10
    dmysum = delayed(mysum, pure=True)
    c = [delayed(3), 0]
    ten = dmysum(1, 2, c=c, four=dmysum(2, 2))
    assert ten.compute() == 10
    assert dmysum(1, 2, c=c, four=dmysum(2, 2)).__dask_tokenize__() == ten.__dask_tokenize__()
    assert dmysum(1, 2, c=c, four=dmysum(2, 3)).__dask_tokenize__() != ten.__dask_tokenize__()
    assert dmysum(1, 2, c=c, four=4).__dask_tokenize__() != ten.__dask_tokenize__()
    assert dmysum(1, 2, c=c, four=4).__dask_tokenize__() != dmysum(2, 2, c=c, four=4).__dask_tokenize__()


def test_lists():
    a, b = delayed(1), delayed(2)
    assert delayed(sum)([a, b]).compute() == 3


def test_lists_are_concrete():
    a, b = delayed(1), delayed(2)
    assert delayed(max)([[a, 10], [b, 20]], key=lambda x: x[0])[1].compute() == 20


@pytest.mark.parametrize("kind", [list, tuple, set])
def test_iterators(kind):
    a, b = delayed(1), delayed(2)
    assert delayed(sum)(iter(kind([a, b]))).compute() == 3
    assert delayed(lambda seq: sum(seq))(iter(kind([a, b]))).compute() == 3


def test_a_callable_value():
    f = delayed(add, pure=True)
    assert f(1, 2).compute() == 3
    assert f.compute() == add


def test_a_callable_object():
    class Foo:
        def __init__(self, a):
            self.a = a

        def __call__(self):
            return 2

    foo = Foo(1)
    f = delayed(foo)
    assert f.compute() is foo
    assert f.a.compute() == 1
    assert f().compute() == 2


def test_a_computed_function_is_called():
    assert delayed(functools.partial)(add, 1)(2).compute() == 3


def test_method_descriptors():
    assert delayed(bytes.decode)(b"").compute() == ""


def test_on_methods():
    class A:
        BASE = 10

        def __init__(self, base):
            self.BASE = base

        @delayed
        def addmethod(self, x, y):
            return self.BASE + x + y

        @classmethod
        @delayed
        def addclass(cls, x, y):
            return cls.BASE + x + y

        @staticmethod
        @delayed
        def addstatic(x, y):
            return x + y

    a = A(100)
    assert a.addmethod(3, 4).compute() == 107
    assert A.addmethod(a, 3, 4).compute() == 107
    assert a.addclass(3, 4).compute() == 17
    assert A.addclass(3, 4).compute() == 17
    assert a.addstatic(3, 4).compute() == 7
    assert A.addstatic(3, 4).compute() == 7
    assert isinstance(a.addmethod, types.MethodType)
    assert isinstance(A.addclass, types.MethodType)
    assert isinstance(A.addstatic, Delayed)


def test_attributes_of_functions_are_forwarded():
    @delayed
    def add(x, y):
        """This is a docstring"""
        return x + y

    assert isinstance(add, DelayedFunction)
    assert add.__name__ == "add"
    assert add.__doc__ == "This is a docstring"
    assert add.__wrapped__(1, 2) == 3


def test_compute_refuses_other_keywords():
    # dask passes any keyword to the scheduler, and ours has none: a misspelt ``timeout`` must not be lost.
    with pytest.raises(TypeError, match="bogus_keyword"):
        (delayed(1) + 2).compute(bogus_keyword=10)


# -- operators, attributes, methods ---------------------------------------------------------------------------


def test_operators():
    a = delayed([1, 2, 3])
    assert a[0].compute() == 1
    assert (a + a).compute() == [1, 2, 3, 1, 2, 3]
    b = delayed(2)
    assert a[:b].compute() == [1, 2]
    a = delayed(10)
    assert (a + 1).compute() == 11
    assert (1 + a).compute() == 11
    assert (a >> 1).compute() == 5
    assert (a > 2).compute()
    assert (a**2).compute() == 100

    class Dummy:
        def __matmul__(self, other):
            return 4

    assert (delayed(Dummy()) @ delayed(Dummy())).compute() == 4
    assert (delayed(Dummy()) @ Dummy()).compute() == 4


def test_methods():
    a = delayed("a b c d e")
    assert a.split(" ").compute() == ["a", "b", "c", "d", "e"]
    assert a.upper().replace("B", "A").split().count("A").compute() == 2
    assert a.split(" ", pure=True).__dask_tokenize__() == a.split(" ", pure=True).__dask_tokenize__()
    assert a.split(" ").__dask_tokenize__() != a.split(" ").__dask_tokenize__()
    assert a.split(" ", dask_key_name="test").__dask_tokenize__() == "test"
    assert delayed([1]).not_a_real_method().__rpc_node__()
    with pytest.raises(AttributeError, match="not_a_real_method"):
        delayed([1]).not_a_real_method().compute()


def test_attributes():
    a = delayed(2 + 1j)
    assert a.real.__dask_tokenize__() == a.real.__dask_tokenize__()
    assert a.real.compute() == 2
    assert a.imag.compute() == 1
    assert (a.real + a.imag).compute() == 3


def test_method_call_is_one_node():
    assert len(digraph(delayed([1, 2, 3]).index(1))) == 2


def test_attribute_of_attribute():
    x = delayed(123)
    assert isinstance(x.a, Delayed)
    assert isinstance(x.a.b, Delayed)
    assert isinstance(x.a.b.c, Delayed)


def test_errors():
    a = delayed([1, 2, 3])
    for refused in (
        lambda: setattr(a, "foo", 1),
        lambda: operator.setitem(a, 1, 0),
        lambda: 1 in a,
        lambda: list(a),
        lambda: bool(a),
        lambda: len(a),
        lambda: a in [1, 2],
    ):
        with pytest.raises(TypeError):
            refused()
    with pytest.raises(AttributeError):
        a._hidden()


def test_common_subexpressions():
    a = delayed([1, 2, 3])
    res = a[0] + a[0]
    merged = [stage.nodes for stage in res.plan().stages]
    assert [len(nodes) for nodes in merged] == [3]
    assert a.__rpc_node__() in merged[0]


# -- keys -----------------------------------------------------------------------------------------------------


def test_pure():
    assert delayed(add, pure=True)(1, 2).__dask_tokenize__() == delayed(add, pure=True)(1, 2).__dask_tokenize__()
    myrand = delayed(random)
    assert myrand().__dask_tokenize__() != myrand().__dask_tokenize__()


def test_pure_calls_are_merged():
    calls = []

    def note(x):
        calls.append(x)
        return x

    assert compute(delayed(note, pure=True)(1), delayed(note, pure=True)(1)) == (1, 1)
    assert calls == [1]
    assert compute(delayed(note)(2), delayed(note)(2)) == (2, 2)
    assert calls == [1, 2, 2]
    once = delayed(note)(3)
    assert compute(once, once + 1) == (3, 4)
    assert calls == [1, 2, 2, 3]


def test_purity_of_each_call():
    data = delayed([1, 2, 3])
    assert data.index(1).__dask_tokenize__() != data.index(1).__dask_tokenize__()
    assert data.index(1, pure=True).__dask_tokenize__() == data.index(1, pure=True).__dask_tokenize__()
    func = delayed(add, pure=True)
    assert func(1, 2).__dask_tokenize__() == func(1, 2).__dask_tokenize__()
    assert func(1, 2, pure=False).__dask_tokenize__() != func(1, 2, pure=False).__dask_tokenize__()
    # operators and attributes always are
    assert data.index.__dask_tokenize__() == data.index.__dask_tokenize__()
    element = data[0]
    assert (element + element).__dask_tokenize__() == (element + element).__dask_tokenize__()


def test_names():
    assert delayed(1).__dask_tokenize__().startswith("int-")
    assert delayed(1, name="X").__dask_tokenize__() == "X"
    assert delayed(1, name="X").compute() == 1

    def myfunc(x):
        return x + 1

    assert delayed(myfunc)(1).__dask_tokenize__().startswith("myfunc")
    assert delayed(add, pure=True)(1, 2, dask_key_name="foo").__dask_tokenize__() == "foo"
    assert delayed(add)(1, 2, dask_key_name="foo").compute() == 3


def test_deterministic_names():
    func = delayed(identity, pure=True)
    data1 = {"x": 1, "y": 25, "z": [1, 2, 3]}
    data2 = {"x": 1, "y": 25, "z": [1, 2, 3]}
    assert func(data1).__dask_tokenize__() == func(data2).__dask_tokenize__()


def test_the_key_of_a_function_is_the_same_in_every_process(run_python):
    call = "delayed(operator.add, pure=True)(1, {'a'})"
    code = f"import operator; from django_rpc import delayed; print({call}.__dask_tokenize__())"
    keys = {run_python(code, env={"PYTHONHASHSEED": seed}).stdout for seed in ("1", "2")}
    assert keys == {delayed(add, pure=True)(1, {"a"}).__dask_tokenize__() + "\n"}


def test_lambdas_are_identified_by_code():
    def make(n):
        return lambda x: x + n

    one, other = delayed(make(1), pure=True)(1), delayed(make(2), pure=True)(1)
    assert one.__dask_tokenize__() == delayed(make(1), pure=True)(1).__dask_tokenize__()
    assert one.__dask_tokenize__() != other.__dask_tokenize__()


def test_sensitive_to_partials():
    ten, twenty = (delayed(functools.partial(add, n), pure=True)(2) for n in (10, 20))
    assert ten.__dask_tokenize__() != twenty.__dask_tokenize__()
    assert ten.__dask_tokenize__() == delayed(functools.partial(add, 10), pure=True)(2).__dask_tokenize__()


def test_an_argument_without_content_makes_a_call_unique():
    lock = threading.Lock()
    func = delayed(identity, pure=True)
    assert func(lock).__dask_tokenize__() != func(lock).__dask_tokenize__()
    assert func(lock).compute() is lock


# -- nout -----------------------------------------------------------------------------------------------------


def test_nout():
    func = delayed(lambda x: (x, -x), nout=2, pure=True)
    x = func(1)
    assert len(x) == 2
    a, b = x
    assert compute(a, b) == (1, -1)
    for one in (a, b):
        with pytest.raises(TypeError):
            len(one)
        with pytest.raises(TypeError):
            list(one)
    for wrong in (-1, True, "2", 1.0):
        with pytest.raises(ValueError, match="nout"):
            delayed(add, nout=wrong)
    a = delayed(add, nout=None)(1)
    with pytest.raises(TypeError):
        list(a)
    with pytest.raises(TypeError):
        len(a)
    x = delayed(lambda x: (x,), nout=1, pure=True)(1)
    assert len(x) == 1
    (a,) = x
    assert a.compute() == 1
    x = delayed(lambda x: (), nout=0, pure=True)(1)
    assert len(x) == 0
    assert x.compute() == ()


@pytest.mark.parametrize("x", [[1, 2], (1, 2), (add, 1, 2), [], ()])
def test_nout_of_values(x):
    d = delayed(x, nout=len(x))
    assert len(d) == len(x)
    assert len(list(d)) == len(x)
    assert d.compute() == x


# -- pickles --------------------------------------------------------------------------------------------------


def test_pickles_keep_key_and_length():
    x = delayed(divmod, nout=2, pure=True)(1, 2)
    y = pickle.loads(pickle.dumps(x))
    assert (x.__dask_tokenize__(), len(x)) == (y.__dask_tokenize__(), len(y))
    for x in (delayed(1j + 2), delayed(1j + 2).real, delayed(add)(1, 2)):
        y = pickle.loads(pickle.dumps(x))
        assert x.__dask_tokenize__() == y.__dask_tokenize__()
        assert x.compute() == y.compute()


@pytest.mark.parametrize("f", [delayed(inc), modlevel_delayed1, modlevel_delayed2, delayed(lambda x: x + 1)])
@pytest.mark.parametrize("library", [pickle, cloudpickle])
def test_pickled_calls(f, library):
    # dask cannot pickle decorated functions and lambdas by pickle itself; we can.
    d = library.loads(library.dumps(f(2), protocol=pickle.HIGHEST_PROTOCOL))
    assert d.compute() == 3
    revived = library.loads(library.dumps(f))
    assert isinstance(revived, DelayedFunction)
    assert revived(2).compute() == 3


# -- dask itself ----------------------------------------------------------------------------------------------

dask = pytest.importorskip("dask")


def test_dask_computes_ours(orders, clients, runner):
    assert dask.is_dask_collection(orders.count())
    assert dask.compute(delayed(add)(1, 2)) == (3,)
    values = dask.compute(orders.count(), [clients.count(), {"a": delayed(inc)(1)}, 5])
    assert values == ("Order.objects.count()", ["Client.objects.count()", {"a": 2}, 5])
    assert len(runner.messages) == 1


def test_ours_in_a_graph_of_dask(orders, runner):
    theirs = dask.delayed(lambda x, y: f"{x}, {y}")
    assert theirs(orders.count(), [delayed(add)(1, 2)]).compute() == "Order.objects.count(), [3]"
    assert theirs(orders.count(), 1).compute(scheduler="sync") == "Order.objects.count(), 1"
    mixed = dask.delayed(sum)([delayed(1), dask.delayed(2), delayed(inc)(3)])
    assert dask.compute(mixed, delayed(5)) == (7, 5)
    assert runner.messages


def test_theirs_in_ours():
    theirs = dask.delayed(inc)(1)
    assert delayed(identity)(theirs).compute() == 2


def test_persist_and_optimize():
    (kept,) = dask.persist(delayed(inc)(1))
    assert isinstance(kept, Delayed)
    assert kept.compute() == 2
    (same,) = dask.optimize(delayed(inc)(1))
    assert same.compute() == 2


def test_tokens():
    d = delayed(add, pure=True)(1, 2)
    again = delayed(add, pure=True)(1, 2)
    assert dask.base.tokenize(d) == dask.base.tokenize(again)
    assert dask.base.tokenize(delayed(add)(1, 2)) != dask.base.tokenize(delayed(add)(1, 2))
