"""The user's handle on a node, modelled on ``dask.delayed``: it records operations instead of executing them.

first = delayed(orders).filter(total__gt=5).first()     # three nodes; nothing is sent
first.customer.name.upper().compute()                   # one message
"""

from __future__ import annotations

import types
from collections.abc import Callable, Generator, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from django_rpc.graph.delayed import lambdas as recording
from django_rpc.graph.delayed.dask_collection import DaskCollection
from django_rpc.graph.delayed.guards import Refusals
from django_rpc.graph.delayed.local_arguments import capture, value_node
from django_rpc.graph.delayed.local_functions import MethodOf
from django_rpc.graph.delayed.method_names import QueryMethod, as_step, may_be_field
from django_rpc.graph.delayed.operators import Operators
from django_rpc.graph.delayed.runner import Output, Runner, engine, profiler
from django_rpc.graph.delayed.suggestions import (
    QUERY_METHODS,
    VALUE_NAMES,
    check_query_key,
    check_value_method,
    no_method,
)
from django_rpc.graph.format import describe
from django_rpc.graph.nodes import (
    Attr,
    Call,
    Item,
    LocalCall,
    Method,
    Node,
    Opaque,
    Operator,
    callsite,
    link_of,
)
from django_rpc.graph.nodes.collections import FOLDS
from django_rpc.graph.values import ATOMS, freeze

if TYPE_CHECKING:
    from django_rpc.graph.plan.stages import Plan

__all__ = ["Delayed", "DelayedFunction", "Output", "Runner", "attribute", "compute", "delayed"]


def frozen(args: Iterable[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return arguments in the form that a node holds."""
    frozen_args = tuple([value if type(value) in ATOMS else freeze(value) for value in args])
    named = {key: value if type(value) in ATOMS else freeze(value) for key, value in kwargs.items()}
    return frozen_args, named


def _short(node: Node) -> str:
    return describe(node, 80)


class Delayed(Operators, Refusals, DaskCollection):
    """A value of a service, or of a local function, that has not been computed yet.

    Attributes, items, calls and operators return a new Delayed and send nothing. `compute`, `submit` and `await` send
    the graph by the sessions of its services. ``finish`` converts the server's value to the client's value.

    >>> from django_rpc.graph.nodes import ModelSource
    >>> orders = Delayed(ModelSource("shop.Order", "rpc"))
    >>> orders.filter(total__gt=5).first().customer.name.upper()
    <Delayed Order.objects.filter(total__gt=5).first().customer.name.upper()>
    >>> orders.count() + 1
    <Delayed (Order.objects.count() + 1)>

    A field may have the name of a method: ``order.plan`` is the field, ``order.plan()`` calls the method. Use
    `attribute` for a field with the name ``dask``, which dask itself reads.
    """

    __slots__ = ("_finish", "_node")

    _node: Node
    _finish: Callable[[Any], Any] | None

    def __init__(self, node: Node, finish: Callable[[Any], Any] | None = None) -> None:
        _set_node(self, node)
        _set_finish(self, finish)

    # -- operations that build nodes ---------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            # Probes for protocols (_repr_html_, __array__, ...) must fail, or other tools treat a Delayed as their
            # object.
            raise AttributeError(f"'Delayed' object has no attribute {name!r}")
        node = self._node
        if name in FOLDS and node.binds_element:
            return partial(recording.fold, name, self)
        if not node.is_query:
            return Delayed(Attr(node, name, where=callsite(1)))
        if name == "key":  # `dask.bag.from_delayed` requires it; a query has no fields that it could hide
            return self.__dask_tokenize__()
        if name not in QUERY_METHODS:
            raise AttributeError(no_method(node, name, _OWN), name=name)
        return QueryMethod(node, name, partial(_method, node, name))

    def __call__(self, *args: Any, **kwargs: Any) -> Delayed:
        node = self._node
        if node.is_local:
            if isinstance(node, Attr):  # a method: one step, not two
                return _apply(MethodOf(node.name), (node.parent, *args), kwargs)
            return _apply(node, args, kwargs)
        if not isinstance(node, Attr):
            raise TypeError(f"{_short(node)} is a value, which cannot be called.")
        check_value_method(node)
        return _method(node.parent, node.name, args, kwargs)

    @may_be_field
    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Delayed:
        """Call a method that the server registered by name (``ModelRpc.methods``) on this value.

        >>> from django_rpc.graph.nodes import ModelSource
        >>> Delayed(ModelSource("shop.Order", "rpc")).call("recalculate", 2, rounded=True)
        <Delayed Order.objects.call('recalculate', 2, rounded=True)>

        Raises ValueError for an invalid method name, and TypeError for an argument that cannot be sent or if this is a
        value of the client.
        """
        if self._node.is_local:
            raise TypeError(f"{_short(self._node)} is a value of the client, where no service registered {name!r}.")
        frozen_args, named = frozen(args, kwargs)
        return Delayed(Call(self._node, name, frozen_args, named, where=callsite()))

    def __getitem__(self, key: Any) -> Delayed:
        frozen_key = freeze(key)
        if self._node.is_query:
            check_query_key(self._node, frozen_key)
        return Delayed(Item(self._node, frozen_key, where=callsite(1)))

    @may_be_field
    def map(self, function: Callable[[Any], Any], return_exceptions: bool = False) -> Delayed:
        """Return the list of results of ``function`` for each element of this query or list, computed by the service.

        ``function`` is called once, in the client, with a placeholder for the element. The operations on the
        placeholder are recorded, and the service executes them. The function returns a Delayed, a query, plain data or
        a container of them. Use `django_rpc.cond` instead of ``if``. With ``return_exceptions``, the list contains the
        exception of each element that fails.

        >>> from django_rpc.graph.nodes import ModelSource
        >>> Delayed(ModelSource("shop.Order", "rpc")).map(lambda order: (order.number, order.total * 2))
        <Delayed Order.objects.map(lambda row: (row.number, (row.total * 2)))>

        The list has ``sum()``, ``min()``, ``max()`` (None for an empty list), ``any()``, ``all()`` and ``len()``.
        Raises TypeError for a function that needs the actual value, or returns a result that cannot be sent.
        """
        return recording.map_over(self, function, return_exceptions)

    @may_be_field
    def filter_by(self, function: Callable[[Any], Any]) -> Delayed:
        """Return the list of elements of this query or list for which ``function`` returns a true value; see `map`.

        >>> from django_rpc.graph.nodes import ModelSource
        >>> Delayed(ModelSource("shop.Order", "rpc")).filter_by(lambda order: order.total > 100).len()
        <Delayed Order.objects.filter_by(lambda row: (row.total > 100)).len()>
        """
        return recording.where(self, function)

    # -- operations that compute -------------------------------------------------------------------------

    @may_be_field
    def compute(self, timeout: float | None = None, priority: bool = False) -> Any:
        """Compute the value with as few messages as possible: one if a single service can evaluate the whole graph.

        ``timeout`` is the limit in seconds for the whole computation; None means the timeout in the settings.
        ``priority`` uses the priority queue. Raises the error of the server or of the local function, or an error of
        the client.
        """
        return engine().compute([self.__rpc_output__()], timeout=timeout, priority=priority)[0]

    @may_be_field
    def submit(self, timeout: float | None = None, priority: bool = False) -> Any:
        """Send the message without waiting, and return a Future of the value."""
        return engine().submit([self.__rpc_output__()], timeout=timeout, priority=priority)[0]

    def __await__(self) -> Generator[Any, None, Any]:
        values = yield from engine().acompute([self.__rpc_output__()]).__await__()
        return values[0]

    @may_be_field
    def profile(self, timeout: float | None = None, priority: bool = False) -> Any:
        """Compute the value, and return a `Profile`: ``result``, and the cost of each node.

        ``print(profile)`` prints a table of time, rows and SQL. The SQL text needs SHOW_SQL of the service.
        ``profile.visualize()`` draws a picture. Raises the errors of `compute`.
        """
        return profiler().profile([self.__rpc_output__()], timeout=timeout, priority=priority)

    @may_be_field
    def visualize(self, filename: str | None = "django_rpc", format: str | None = None, **options: Any) -> Any:
        """Draw the graph into a file, as ``dask.visualize`` does; ``plan=True`` draws its plan.

        All options are documented in `django_rpc.graph.draw.visualize.visualize`.
        """
        from django_rpc.graph.draw.visualize import visualize

        return visualize([self], filename=filename, format=format, **options)

    @may_be_field
    def plan(self) -> Plan:
        """Return the plan: the messages and their services."""
        from django_rpc.graph.plan import plan

        return plan([self._node])

    @may_be_field
    def explain(self, ask: bool = True) -> str:
        """Describe the cost of this computation in words: services, round trips, nodes, transactions, and the SQL.

        The services return the SQL, and the operations that they would refuse. They build the SQL and execute nothing.
        They return it only with SHOW_SQL. With ``ask=False`` nothing is sent.
        """
        return self.plan().explain(ask)

    def _as_attribute(self, method: types.MethodType) -> Delayed:
        """Return the attribute that has the name of ``method``; a call of it calls the method."""
        return _NamedAttribute(Attr(self._node, method.__name__, where=callsite(2)), method)

    # -- protocols -------------------------------------------------------------------------------------

    def __rpc_node__(self) -> Node:
        return self._node

    def __rpc_output__(self) -> Output:
        """Return the node, and the function that converts the server's value to the client's value."""
        return Output(self._node, self._finish or link_of(self._node))

    def __repr__(self) -> str:
        return f"<Delayed {describe(self._node)}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return the output of a notebook: a drawing of the graph. A large or undrawable graph has only its text."""
        from django_rpc.graph.draw.visualize import notebook_svg

        drawn = notebook_svg(self)
        return {"text/plain": repr(self)} | ({} if drawn is None else {"image/svg+xml": drawn})

    def __dir__(self) -> list[str]:
        names = set(_OWN)
        if not self._node.is_local:
            names |= QUERY_METHODS if self._node.is_query else VALUE_NAMES
        return sorted(names)

    def __copy__(self) -> Delayed:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Delayed:
        return self

    def __reduce__(self) -> tuple[type[Delayed], tuple[Any, ...]]:
        return type(self), (self._node, self._finish)


class _NamedAttribute(Delayed):
    """An attribute with the name of a method of `Delayed`; a call of it calls that method.

    >>> from django_rpc.graph.nodes import Method, ModelSource
    >>> order = Delayed(Method(ModelSource("shop.Order", "rpc"), "first"))
    >>> order.plan.price, order.profile == 1
    (<Delayed Order.objects.first().plan.price>, <Delayed (Order.objects.first().profile == 1)>)
    >>> order.plan().round_trips
    1
    """

    __slots__ = ("_method",)

    _method: types.MethodType

    def __init__(self, node: Node, method: types.MethodType) -> None:
        super().__init__(node)
        object.__setattr__(self, "_method", method)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._method(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return getattr, (self._method.__self__, self._method.__name__)


class DelayedFunction(Delayed):
    """The result of ``@delayed`` for a Python function: its calls are recorded.

    >>> @delayed
    ... def double(x):
    ...     return 2 * x
    >>> double(double(4)).compute()
    16
    >>> double.__wrapped__(4)
    8
    """

    __slots__ = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Delayed:
        node: Any = self._node
        return _apply(node.value, args, kwargs, node.pure, node.nout)

    def __get__(self, instance: Any, owner: Any) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    @property
    def __name__(self) -> str:
        return str(self.__wrapped__.__name__)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]  # a property of instances
        doc: str | None = self.__wrapped__.__doc__
        return doc

    @property
    def __wrapped__(self) -> Any:
        return self._node.value  # type: ignore[attr-defined]  # the kind of the node has it


#: ``__setattr__`` refuses assignment, so the constructor uses the slot descriptors.
_set_node = Delayed.__dict__["_node"].__set__
_set_finish = Delayed.__dict__["_finish"].__set__
_OWN = tuple(name for name in dir(Delayed) if not name.startswith("_"))


@freeze.register(Delayed)
def _(value: Delayed) -> Node:
    return value._node


def _method(parent: Node, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Delayed:
    name, args, kwargs = as_step(name, args, kwargs)
    frozen_args, named = frozen(args, kwargs) if args or kwargs else ((), {})
    return Delayed(Method(parent, name, frozen_args, named, where=callsite(2)))


def _apply(
    function: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    pure: bool = False,
    nout: int | None = None,
) -> Delayed:
    """Record a call in the client. ``dask_key_name`` and ``pure`` are keywords of dask, not of the function."""
    label = kwargs.pop("dask_key_name", None)
    pure = bool(kwargs.pop("pure", pure))
    captured = tuple([capture(value) for value in args])
    named = {name: capture(value) for name, value in kwargs.items()}
    return Delayed(LocalCall(function, captured, named, label=label, pure=pure, nout=nout, where=callsite(2)))


def _operator(name: str, *operands: Any) -> Delayed:
    """Return an Operator node. The operators &, | and ^ join two queries; a query has no other operators."""
    args: tuple[Any, ...]
    if any(isinstance(operand, Delayed) and operand._node.is_local for operand in operands):
        args = tuple([value._node if isinstance(value, Delayed) else capture(value) for value in operands])
    else:
        args, _ = frozen(operands, {})
    queries = [node for node in args if isinstance(node, Node) and node.is_query]
    if not queries:
        return Delayed(Operator(name, args, where=callsite(2)))
    if len(queries) == 2 and name in ("and_", "or_", "xor"):
        return Delayed(Method(queries[0], name, (queries[1],), where=callsite(2)))
    raise TypeError(
        f"{_short(queries[0])} is a query, which has no operators but &, | and ^ with another query. Take a value of "
        "it first: .count(), .get(), .first(), .exists(), .aggregate(...)."
    )


Delayed._operate = staticmethod(_operator)


def attribute(value: Any, name: str) -> Delayed:
    """Return the attribute ``name`` of a Delayed, even if `Delayed` has a member with that name.

    >>> from django_rpc.graph.nodes import Method, ModelSource
    >>> order = Delayed(Method(ModelSource("shop.Order", "rpc"), "first"))
    >>> attribute(order, "plan")
    <Delayed Order.objects.first().plan>

    Raises ValueError for an invalid field name.
    """
    return Delayed(Attr(freeze(value), name, where=callsite()))


class _Missing:
    pass


def delayed(
    obj: Any = _Missing,
    name: str | None = None,
    pure: bool | None = None,
    nout: int | None = None,
    traverse: bool = True,
) -> Any:
    """Make a Delayed of any object, like ``dask.delayed``. As a decorator, make a function that records its calls.

    For a queryset, a future or a Delayed, return a Delayed of its node. The client calls a function when its value is
    computed. Delayed values in its arguments are computed before, at any depth of lists, tuples, dicts, sets,
    dataclasses and named tuples. ``traverse=False`` leaves containers unchanged.

    >>> delayed([1, 2])
    <Delayed [1, 2]>
    >>> @delayed(pure=True, nout=2)
    ... def halves(x):
    ...     return x // 2, x - x // 2
    >>> small, large = halves(delayed(sum)([3, delayed(4)]))
    >>> compute(small, large)
    (3, 4)

    ``name`` is the key of the value. ``pure`` declares that equal calls have equal results, so equal calls run once.
    ``nout`` declares the number of results, so that the caller can unpack them. Raises ValueError if ``nout`` is
    neither None nor a non-negative integer.
    """
    if not (nout is None or (type(nout) is int and nout >= 0)):
        raise ValueError(f"nout is the number of results, 0 or more, or None; not {nout!r}.")
    if obj is _Missing:
        return partial(delayed, name=name, pure=pure, nout=nout, traverse=traverse)
    if isinstance(obj, Delayed):
        return obj
    from django_rpc.graph.delayed.compute import handle

    handled = handle(obj)
    if handled is not None:
        return handled
    if callable(obj):
        return DelayedFunction(Opaque(obj, label=name, pure=bool(pure), nout=nout, where=callsite()))
    return Delayed(value_node(obj, name, bool(pure), nout, traverse))


def compute(*args: Any, traverse: bool = True, timeout: float | None = None, priority: bool = False) -> tuple[Any, ...]:
    """Compute ``args`` with the fewest messages: Delayed, querysets, futures, and containers of them.

    Containers keep their shape, and plain values are returned unchanged. ``traverse=False`` does not search containers.

    >>> compute(1, [2, {"three": 3}])
    (1, [2, {'three': 3}])

    Raises the errors of a single ``compute()``.
    """
    from django_rpc.graph.delayed.compute import compute as compute_all

    return compute_all(args, traverse, {"timeout": timeout, "priority": priority})
