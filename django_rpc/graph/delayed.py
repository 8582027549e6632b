"""The user's handle on a node, after ``dask.delayed``: what is done to it is written down, not done.

first = delayed(orders).filter(total__gt=5).first()     # three nodes; nothing is sent
first.customer.name.upper().compute()                   # one message
"""

from __future__ import annotations

import types
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from django_rpc.graph import recording
from django_rpc.graph.capture import capture, value_node
from django_rpc.graph.dask import DaskCollection
from django_rpc.graph.describe import describe
from django_rpc.graph.elements import FOLDS, Map, Where, depends
from django_rpc.graph.functions import MethodOf
from django_rpc.graph.hints import QUERY_METHODS, VALUE_NAMES, check_query_key, check_value_method, no_method
from django_rpc.graph.names import QueryMethod, as_step, may_be_field
from django_rpc.graph.node import Apply, Attr, Call, Held, Item, Method, Node, Operator, callsite
from django_rpc.graph.operators import Operators
from django_rpc.graph.refusals import Refusals
from django_rpc.graph.runner import Output, Runner, ServiceRunner, engine, joined, members, profiler
from django_rpc.graph.values import ATOMS, freeze

if TYPE_CHECKING:
    import networkx

    from django_rpc.graph.plan import Plan

__all__ = ["Delayed", "DelayedFunction", "Output", "Runner", "attribute", "compute", "delayed"]


def _frozen(value: Any) -> Any:
    """`freeze`, with the two cases first that make up nearly all arguments."""
    kind = type(value)
    if kind in ATOMS:
        return value
    return value._node if kind is Delayed else freeze(value)


def _short(node: Node) -> str:
    return describe(node, 80)


class Delayed(Operators, Refusals, DaskCollection):
    """A value of a service, or of a local function, that has not been computed yet.

    Attributes, items, calls and operators return a new Delayed and send nothing; `compute`, `submit`, `await`
    send the graph.  ``runner`` sends it (None: the session of the service that the nodes name), and
    ``finish`` makes the client's value from the server's answer.

    >>> from django_rpc.graph.node import Source
    >>> orders = Delayed(Source("shop.Order", "rpc"))
    >>> orders.filter(total__gt=5).first().customer.name.upper()
    <Delayed Order.objects.filter(total__gt=5).first().customer.name.upper()>
    >>> orders.count() + 1
    <Delayed (Order.objects.count() + 1)>

    A field may have the name of a method: ``order.plan`` is the field, ``order.plan()`` the method.  A field named
    ``graph`` is reached by `attribute`.
    """

    __slots__ = ("_finish", "_node", "_runner")

    _node: Node
    _runner: Any  # a Runner, `Runners` of several services, or None
    _finish: Callable[[Any], Any] | None

    def __init__(self, node: Node, runner: Any = None, finish: Callable[[Any], Any] | None = None) -> None:
        _set_node(self, node)
        _set_runner(self, runner)
        _set_finish(self, finish)

    # -- to build on -----------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            # Protocol probes (_repr_html_, __array__, ...) must hear no, or every tool takes us for one of its own.
            raise AttributeError(f"'Delayed' object has no attribute {name!r}")
        node = self._node
        if name in FOLDS and isinstance(node, Map | Where):
            return partial(recording.fold, name, self)
        if not node.is_query:
            return Delayed(Attr(node, name, where=callsite(1)), self._runner)
        if name not in QUERY_METHODS:
            raise AttributeError(no_method(node, name, _OWN), name=name)
        return QueryMethod(node, name, partial(_method, node, name, self._runner))

    def __call__(self, *args: Any, **kwargs: Any) -> Delayed:
        node = self._node
        if node.is_local:
            if isinstance(node, Attr):  # a method: one step, not two
                return _apply(MethodOf(node.name), (node.parent, *args), kwargs, self._runner)
            return _apply(node, args, kwargs, self._runner)
        if not isinstance(node, Attr):
            raise TypeError(f"{_short(node)} is a value, which cannot be called.")
        check_value_method(node)
        return _method(node.parent, node.name, self._runner, args, kwargs)

    @may_be_field
    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Delayed:
        """A method that the server registered by name (``ModelRpc.methods``), called on this value.

        >>> from django_rpc.graph.node import Source
        >>> Delayed(Source("shop.Order", "rpc")).call("recalculate", 2, rounded=True)
        <Delayed Order.objects.call('recalculate', 2, rounded=True)>

        Raises ValueError for a name that no method can have, TypeError for an argument that cannot be sent, or
        where this is a value of the client.
        """
        if self._node.is_local:
            raise TypeError(f"{_short(self._node)} is a value of the client, where no service registered {name!r}.")
        frozen = tuple([_frozen(value) for value in args])
        named = {key: _frozen(value) for key, value in kwargs.items()}
        return Delayed(Call(self._node, name, frozen, named, where=callsite()), _runner_of(self._runner, args, kwargs))

    def __getitem__(self, key: Any) -> Delayed:
        frozen = _frozen(key)
        if self._node.is_query:
            check_query_key(self._node, frozen)
        return Delayed(Item(self._node, frozen, where=callsite(1)), _runner_of(self._runner, (key,), {}))

    @may_be_field
    def map(self, function: Callable[[Any], Any], return_exceptions: bool = False) -> Delayed:
        """A list of what ``function`` makes of each element of this query or list, next to the data.

        ``function`` is called once, here, with a placeholder of the element; what it does to it is sent, and done by
        the service.  It returns a Delayed, a query, plain data or a container of them; `django_rpc.cond` stands in
        the place of ``if``.  With ``return_exceptions`` an element that fails is its exception in the list.

        >>> from django_rpc.graph.node import Source
        >>> Delayed(Source("shop.Order", "rpc")).map(lambda order: (order.number, order.total * 2))
        <Delayed Order.objects.map(lambda row: (row.number, (row.total * 2)))>

        The list has ``sum()``, ``min()``, ``max()`` (None of an empty list), ``any()``, ``all()`` and ``len()``.
        Raises TypeError for a function that needs to know the value, or whose result cannot be sent.
        """
        return recording.map_over(self, function, return_exceptions)

    @may_be_field
    def filter_by(self, function: Callable[[Any], Any]) -> Delayed:
        """The list of those elements of this query or list for which ``function`` is true; see `map`.

        >>> from django_rpc.graph.node import Source
        >>> Delayed(Source("shop.Order", "rpc")).filter_by(lambda order: order.total > 100).len()
        <Delayed Order.objects.filter_by(lambda row: (row.total > 100)).len()>
        """
        return recording.where(self, function)

    # -- to do something -------------------------------------------------------------------------------

    @may_be_field
    def compute(self, timeout: float | None = None, priority: bool = False) -> Any:
        """The value, asked for in as few messages as its plan has: one, where one service can do everything.

        ``timeout`` is in seconds, for all of it (None: what the settings say); ``priority`` takes the priority queue.
        Raises what the server or the local function raised, or an error of the client.
        """
        return engine().compute([self.__rpc_output__()], self.__rpc_runners__(), timeout=timeout, priority=priority)[0]

    @may_be_field
    def submit(self, timeout: float | None = None, priority: bool = False) -> Any:
        """A Future of the value: the message is sent, and not waited for."""
        return engine().submit([self.__rpc_output__()], self.__rpc_runners__(), timeout=timeout, priority=priority)[0]

    def __await__(self) -> Generator[Any, None, Any]:
        values = yield from engine().acompute([self.__rpc_output__()], self.__rpc_runners__()).__await__()
        return values[0]

    @may_be_field
    def profile(self, timeout: float | None = None, priority: bool = False) -> Any:
        """Compute the value, and return a `Profile`: ``result``, and the cost of each node.

        ``print(profile)`` is a table of time, rows and SQL (its text only where the service's SHOW_SQL is on),
        ``profile.visualize()`` a picture.  Raises what `compute` raises.
        """
        return profiler().profile([self.__rpc_output__()], self.__rpc_runners__(), timeout=timeout, priority=priority)

    @may_be_field
    def visualize(self, filename: str | None = "django_rpc", format: str | None = None, **options: Any) -> Any:
        """Draws the graph into a file, as ``dask.visualize`` does; ``plan=True`` draws its plan.

        All options are those of `django_rpc.graph.visualize.visualize`.
        """
        from django_rpc.graph.visualize import visualize

        return visualize([self], filename=filename, format=format, **options)

    @property
    def graph(self) -> networkx.DiGraph:
        """The nodes below this one as a networkx DiGraph (`dag.to_dag`); in a lambda of `map`, the field ``graph``."""
        if depends(self._node):
            return attribute(self, "graph")
        from django_rpc.graph.dag import to_dag

        return to_dag([self._node])

    @may_be_field
    def plan(self) -> Plan:
        """What would be sent, and where to."""
        from django_rpc.graph.planner import plan

        return plan([self._node])

    @may_be_field
    def explain(self, ask: bool = True) -> str:
        """What computing this will cost, in words: services, round trips, nodes, transactions, and the SQL.

        The services are asked for the SQL, and for what they would refuse; they build it and run nothing, and show it
        only where their SHOW_SQL is on.  With ``ask=False`` nothing is sent.
        """
        return self.plan().explain(ask, self.__rpc_runners__())

    def _as_attribute(self, method: types.MethodType) -> Delayed:
        """The attribute that has the name of ``method``; called, it is the method."""
        return _NamedAttribute(Attr(self._node, method.__name__, where=callsite(2)), method)

    # -- protocols -------------------------------------------------------------------------------------

    def __rpc_node__(self) -> Node:
        return self._node

    def __rpc_output__(self) -> Output:
        """The node, and the function that makes the client's value from the server's answer."""
        return Output(self._node, self._finish)

    def __rpc_runners__(self) -> Iterator[Runner]:
        """The runners of the services that this was built with."""
        return members(self._runner)

    def __repr__(self) -> str:
        return f"<Delayed {describe(self._node)}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook shows: the graph, drawn; its text where it is large, or nothing can draw it."""
        from django_rpc.graph.visualize import notebook_svg

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

    def __reduce__(self) -> tuple[Callable[..., Delayed], tuple[Any, ...]]:
        services = [getattr(one, "service", None) for one in self.__rpc_runners__()]
        # A runner without a service's name has to know itself how it is pickled.
        named = all(service is not None for service in services)
        return _revive, (
            type(self),
            self._node,
            services if named else None,
            self._runner if not named else None,
            self._finish,
        )


class _NamedAttribute(Delayed):
    """The attribute of a value that has the name of a method of `Delayed`; called, it is that method.

    >>> from django_rpc.graph.node import Method, Source
    >>> order = Delayed(Method(Source("shop.Order", "rpc"), "first"))
    >>> order.plan.price, order.profile == 1
    (<Delayed Order.objects.first().plan.price>, <Delayed (Order.objects.first().profile == 1)>)
    >>> order.plan().round_trips
    1
    """

    __slots__ = ("_method",)

    _method: types.MethodType

    def __init__(self, node: Node, method: types.MethodType) -> None:
        super().__init__(node, method.__self__._runner)  # type: ignore[attr-defined]
        object.__setattr__(self, "_method", method)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._method(*args, **kwargs)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return getattr, (self._method.__self__, self._method.__name__)


class DelayedFunction(Delayed):
    """A Python function whose calls are written down: what ``@delayed`` makes of it.

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
        held: Any = self._node
        return _apply(held.value, args, kwargs, self._runner, held.pure, held.nout)

    def __get__(self, instance: Any, owner: Any) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    @property
    def __name__(self) -> str:
        return str(self.__wrapped__.__name__)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        doc: str | None = self.__wrapped__.__doc__
        return doc

    @property
    def __wrapped__(self) -> Any:
        return self._node.value  # type: ignore[attr-defined]


#: Assignment is refused by ``__setattr__``, so the constructor goes to the slots themselves.
_set_node = Delayed.__dict__["_node"].__set__
_set_runner = Delayed.__dict__["_runner"].__set__
_set_finish = Delayed.__dict__["_finish"].__set__
_OWN = tuple(name for name in dir(Delayed) if not name.startswith("_"))


@freeze.register(Delayed)
def _(value: Delayed) -> Node:
    return value._node


def _method(parent: Node, name: str, runner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Delayed:
    name, args, kwargs = as_step(name, args, kwargs)
    frozen = tuple([_frozen(value) for value in args]) if args else args
    named = {key: _frozen(value) for key, value in kwargs.items()} if kwargs else kwargs
    return Delayed(Method(parent, name, frozen, named, where=callsite(2)), _runner_of(runner, args, kwargs))


def _apply(
    function: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    runner: Any,
    pure: bool = False,
    nout: int | None = None,
) -> Delayed:
    """A call in the client.  ``dask_key_name`` and ``pure`` are dask's own keywords, and not the function's."""
    label = kwargs.pop("dask_key_name", None)
    pure = bool(kwargs.pop("pure", pure))
    runners: list[Any] = []
    given = tuple([capture(value, runners) for value in args])
    named = {name: capture(value, runners) for name, value in kwargs.items()}
    node = Apply(function, given, named, label=label, pure=pure, nout=nout, where=callsite(2))
    return Delayed(node, joined(runner, runners) if runners else runner)


def _runner_of(runner: Any, args: Iterable[Any], kwargs: dict[str, Any]) -> Any:
    """The runner of what is made from a Delayed with ``runner`` and these arguments."""
    for values in (args, kwargs.values()):
        for value in values:
            if isinstance(value, Delayed) and value._runner is not None and value._runner is not runner:
                runner = joined(runner, (value._runner,))
    return runner


def _operator(name: str, *operands: Any) -> Delayed:
    """An Operator node; two queries joined by &, | or ^ are a query, and a query has no other operators."""
    args: list[Any] = []
    queries: list[Node] = []
    runner: Any = None
    for operand in operands:
        if type(operand) in ATOMS:
            args.append(operand)
            continue
        if isinstance(operand, Delayed):
            frozen = operand._node
            if operand._runner is not runner:
                runner = joined(runner, (operand._runner,))
        else:
            frozen = _operand(operand, operands)
        args.append(frozen)
        if isinstance(frozen, Node) and frozen.is_query:
            queries.append(frozen)
    if not queries:
        return Delayed(Operator(name, tuple(args), where=callsite(2)), runner)
    if len(queries) == 2 and name in ("and_", "or_", "xor"):
        return Delayed(Method(queries[0], name, (queries[1],), where=callsite(2)), runner)
    raise TypeError(
        f"{_short(queries[0])} is a query, which has no operators but &, | and ^ with another query. Take a value of "
        "it first: .count(), .get(), .first(), .exists(), .aggregate(...)."
    )


def _operand(value: Any, operands: tuple[Any, ...]) -> Any:
    """What stands beside a Delayed: any object where the operation is done in the client, and what can be sent."""
    if any(isinstance(one, Delayed) and one._node.is_local for one in operands):
        return capture(value)
    return freeze(value)


Delayed._operate = staticmethod(_operator)


def attribute(value: Any, name: str) -> Delayed:
    """The attribute ``name`` of a Delayed, also where Delayed has something of that name itself.

    >>> from django_rpc.graph.node import Method, Source
    >>> order = Delayed(Method(Source("shop.Order", "rpc"), "first"))
    >>> attribute(order, "plan")
    <Delayed Order.objects.first().plan>

    Raises ValueError for a name that no field can have.
    """
    return Delayed(Attr(freeze(value), name, where=callsite()), getattr(value, "_runner", None))


class _Missing:
    pass


def delayed(
    obj: Any = _Missing,
    name: str | None = None,
    pure: bool | None = None,
    nout: int | None = None,
    traverse: bool = True,
) -> Any:
    """A Delayed of anything, after ``dask.delayed``; as a decorator, a function whose calls are written down.

    Of a queryset, a future or a Delayed it is the handle on what that stands on.  A function is called in the
    client when its value is computed; what is in its arguments, at any depth of lists, tuples, dicts, sets,
    dataclasses and named tuples, is computed first.  ``traverse=False`` leaves containers as they are.

    >>> delayed([1, 2])
    <Delayed [1, 2]>
    >>> @delayed(pure=True, nout=2)
    ... def halves(x):
    ...     return x // 2, x - x // 2
    >>> small, large = halves(delayed(sum)([3, delayed(4)]))
    >>> compute(small, large)
    (3, 4)

    ``name`` is the key of the value, ``pure`` says that equal calls give equal results, so that they are made once,
    ``nout`` says how many results there are, which can then be unpacked.
    Raises ValueError for another ``nout`` than None or a whole number.
    """
    if not (nout is None or (type(nout) is int and nout >= 0)):
        raise ValueError(f"nout is the number of results, 0 or more, or None; not {nout!r}.")
    if obj is _Missing:
        return partial(delayed, name=name, pure=pure, nout=nout, traverse=traverse)
    if isinstance(obj, Delayed):
        return obj
    from django_rpc.graph.collect import handle

    handled = handle(obj)
    if handled is not None:
        return handled
    if callable(obj):
        return DelayedFunction(Held(obj, label=name, pure=bool(pure), nout=nout, where=callsite()))
    runners: list[Any] = []
    node = value_node(obj, name, bool(pure), nout, traverse, runners)
    return Delayed(node, joined(None, runners))


def compute(*args: Any, traverse: bool = True, timeout: float | None = None, priority: bool = False) -> tuple[Any, ...]:
    """The values of ``args``, in the fewest messages: Delayed, querysets, futures, and containers of them.

    Containers come back in their shape, plain values as they are; with ``traverse=False`` they are not looked into.

    >>> compute(1, [2, {"three": 3}])
    (1, [2, {'three': 3}])

    Raises what a single ``compute()`` does.
    """
    from django_rpc.graph.collect import compute as compute_all

    return compute_all(args, traverse, {"timeout": timeout, "priority": priority})


def _revive(
    kind: type[Delayed],
    node: Node,
    services: list[str] | None,
    runner: Any,
    finish: Callable[[Any], Any] | None,
) -> Delayed:
    if services is not None:
        runner = joined(None, map(ServiceRunner, services))
    return kind(node, runner, finish)
