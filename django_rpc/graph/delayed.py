"""The user's handle on a node, after ``dask.delayed``: what is done to it is written down, not done.

first = delayed(orders).filter(total__gt=5).first()     # three nodes; nothing is sent
first.customer.name.upper().compute()                   # one message
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from django_rpc.graph import vocabulary
from django_rpc.graph.describe import describe
from django_rpc.graph.hints import QUERY_METHODS, VALUE_NAMES, check_query_key, no_method, no_value_method
from django_rpc.graph.node import Attr, Call, Item, Method, Node, Operator, callsite
from django_rpc.graph.runner import Output, Runner, runner_for
from django_rpc.graph.values import ATOMS, freeze

if TYPE_CHECKING:
    import networkx

    from django_rpc.graph.plan import Plan

__all__ = ["Delayed", "Output", "Runner", "attribute", "compute", "delayed"]


def _frozen(value: Any) -> Any:
    """`freeze`, with the two cases first that make up nearly all arguments."""
    kind = type(value)
    if kind in ATOMS:
        return value
    return value.node if kind is Delayed else freeze(value)


def _short(node: Node) -> str:
    return describe(node, 80)


class Delayed:
    """A value of another service that has not been asked for yet.

    Attributes, items, calls and operators give a new Delayed and send nothing; `compute`, `submit`, `await`
    ask for the value.  ``runner`` sends it (None: the session of the service that the nodes name), and
    ``finish`` makes the client's value of what the server returned.

    >>> from django_rpc.graph.node import Source
    >>> orders = Delayed(Source("shop.Order", "rpc"))
    >>> orders.filter(total__gt=5).first().customer.name.upper()
    <Delayed Order.objects.filter(total__gt=5).first().customer.name.upper()>
    >>> orders.count() + 1
    <Delayed (Order.objects.count() + 1)>

    A field that has the name of something here (``plan``, ``graph``) is reached by `attribute`.
    """

    __slots__ = ("finish", "node", "runner")

    node: Node
    runner: Runner | None
    finish: Callable[[Any], Any] | None

    def __init__(self, node: Node, runner: Runner | None = None, finish: Callable[[Any], Any] | None = None) -> None:
        _set_node(self, node)
        _set_runner(self, runner)
        _set_finish(self, finish)

    # -- to build on -----------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            # Protocol probes (_repr_html_, __array__, ...) must hear no, or every tool takes us for one of its own.
            raise AttributeError(f"'Delayed' object has no attribute {name!r}")
        node = self.node
        if not node.is_query:
            return Delayed(Attr(node, name, where=callsite(1)), self.runner)
        if name not in QUERY_METHODS:
            raise AttributeError(no_method(node, name, _OWN), name=name)
        return _QueryMethod(self, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Delayed:
        node = self.node
        if not isinstance(node, Attr):
            raise TypeError(f"{_short(node)} is a value, which cannot be called.")
        if node.name not in vocabulary.METHODS:
            raise AttributeError(no_value_method(node), name=node.name)
        return _method(node.parent, node.name, args, kwargs, self.runner)

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Delayed:
        """A method that the server registered by name (``ModelRpc.methods``), called on this value.

        >>> from django_rpc.graph.node import Source
        >>> Delayed(Source("shop.Order", "rpc")).call("recalculate", 2, rounded=True)
        <Delayed Order.objects.call('recalculate', 2, rounded=True)>

        Raises ValueError for a name that no method can have, TypeError for an argument that cannot be sent.
        """
        frozen = tuple([_frozen(value) for value in args])
        named = {key: _frozen(value) for key, value in kwargs.items()}
        return Delayed(Call(self.node, name, frozen, named, where=callsite()), self.runner or _runner_in(args, kwargs))

    def __getitem__(self, key: Any) -> Delayed:
        frozen = _frozen(key)
        if self.node.is_query:
            check_query_key(self.node, frozen)
        return Delayed(Item(self.node, frozen, where=callsite(1)), self.runner)

    # -- to do something -------------------------------------------------------------------------------

    def compute(self, timeout: float | None = None, priority: bool = False, **options: Any) -> Any:
        """The value, asked for in one message.

        ``timeout`` is in seconds (None: what the settings say); ``priority`` takes the priority queue.
        Raises what the server raised, or an error of the client.
        """
        runner = runner_for(self.node, self.runner)
        return runner.compute([Output(self.node, self.finish)], timeout=timeout, priority=priority, **options)[0]

    def submit(self, timeout: float | None = None, priority: bool = False, **options: Any) -> Any:
        """A Future of the value: the message is sent, and not waited for."""
        runner = runner_for(self.node, self.runner)
        return runner.submit([Output(self.node, self.finish)], timeout=timeout, priority=priority, **options)[0]

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.to_thread(self.compute).__await__()

    def visualize(self, filename: str | None = "django_rpc", format: str | None = None, **options: Any) -> Any:
        """Draws the graph into a file, as ``dask.visualize`` does; see `django_rpc.graph.visualize.visualize`."""
        from django_rpc.graph.visualize import visualize

        return visualize([self], filename=filename, format=format, **options)

    @property
    def graph(self) -> networkx.DiGraph:
        """The nodes below this one as a networkx DiGraph (`dag.to_dag`)."""
        from django_rpc.graph.dag import to_dag

        return to_dag([self.node])

    def plan(self) -> Plan:
        """What would be sent, and where to."""
        from django_rpc.graph.planner import plan

        return plan([self.node])

    def explain(self) -> str:
        """The plan in words: services, round trips, nodes, transactions."""
        return self.plan().explain()

    # -- protocols -------------------------------------------------------------------------------------

    def __rpc_node__(self) -> Node:
        return self.node

    def __repr__(self) -> str:
        return f"<Delayed {describe(self.node)}>"

    def __dir__(self) -> list[str]:
        names = set(_OWN)
        names |= QUERY_METHODS if self.node.is_query else VALUE_NAMES
        return sorted(names)

    def __copy__(self) -> Delayed:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Delayed:
        return self

    def __reduce__(self) -> tuple[Callable[..., Delayed], tuple[Any, ...]]:
        service = getattr(self.runner, "service", None)
        # A runner without a service's name has to know itself how it is pickled.
        return _revive, (self.node, service, None if service is not None else self.runner, self.finish)

    # -- what a value that is not there yet cannot do ---------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise TypeError(
            f"A Delayed cannot be changed, so .{name} cannot be set. To change rows, write .update({name}=...) on a "
            "query; to change an instance, compute() it, set the attribute and save() it."
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise TypeError(f"A Delayed cannot be changed, so .{name} cannot be deleted.")

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise TypeError("A Delayed cannot be changed, so no item of it can be set. Change what compute() returns.")

    def __delitem__(self, key: Any) -> NoReturn:
        raise TypeError("A Delayed cannot be changed, so no item of it can be deleted. Use .delete() on a query.")

    def __iter__(self) -> NoReturn:
        raise TypeError(
            f"{_short(self.node)} has not been computed, so it cannot be iterated over (nor unpacked). "
            "Write: for row in d.compute(): ..."
        )

    def __aiter__(self) -> NoReturn:
        raise TypeError(f"{_short(self.node)} has not been computed. Write: for row in await d: ...")

    def __reversed__(self) -> NoReturn:
        instead = "d.reverse()" if self.node.is_query else "reversed(d.compute())"
        raise TypeError(f"{_short(self.node)} has not been computed. Write: {instead}")

    def __len__(self) -> NoReturn:
        instead = "d.count() for a Delayed, d.count().compute() for the number" if self.node.is_query else ""
        raise TypeError(f"The length of {_short(self.node)} is not known yet. Write {instead or 'len(d.compute())'}.")

    def __bool__(self) -> NoReturn:
        instead = "d.exists().compute()" if self.node.is_query else "d.compute()"
        raise TypeError(
            f"Whether {_short(self.node)} is true is not known yet: if, and, or, not and 'in' cannot ask. "
            f"Write {instead} and test the result."
        )

    def __contains__(self, item: Any) -> NoReturn:
        instead = "d.contains(instance).compute() or d.filter(pk=...).exists()" if self.node.is_query else ""
        raise TypeError(f"What {_short(self.node)} holds is not known yet. Write {instead or 'x in d.compute()'}.")

    def __index__(self) -> NoReturn:
        raise TypeError(f"{_short(self.node)} is no number yet, so it cannot be an index or a range. Use d.compute().")

    def __int__(self) -> NoReturn:
        raise TypeError(f"{_short(self.node)} is no number yet. Write int(d.compute()).")

    def __float__(self) -> NoReturn:
        raise TypeError(f"{_short(self.node)} is no number yet. Write float(d.compute()).")

    def __enter__(self) -> NoReturn:
        raise TypeError("A Delayed is no context manager.")

    def __exit__(self, *args: object) -> None:
        """Only here so that ``with`` gets as far as the error above."""

    # -- operators -------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Delayed:
        return _operator("add", self, other)

    def __radd__(self, other: Any) -> Delayed:
        return _operator("add", other, self)

    def __sub__(self, other: Any) -> Delayed:
        return _operator("sub", self, other)

    def __rsub__(self, other: Any) -> Delayed:
        return _operator("sub", other, self)

    def __mul__(self, other: Any) -> Delayed:
        return _operator("mul", self, other)

    def __rmul__(self, other: Any) -> Delayed:
        return _operator("mul", other, self)

    def __truediv__(self, other: Any) -> Delayed:
        return _operator("truediv", self, other)

    def __rtruediv__(self, other: Any) -> Delayed:
        return _operator("truediv", other, self)

    def __floordiv__(self, other: Any) -> Delayed:
        return _operator("floordiv", self, other)

    def __rfloordiv__(self, other: Any) -> Delayed:
        return _operator("floordiv", other, self)

    def __mod__(self, other: Any) -> Delayed:
        return _operator("mod", self, other)

    def __rmod__(self, other: Any) -> Delayed:
        return _operator("mod", other, self)

    def __pow__(self, other: Any) -> Delayed:
        return _operator("pow", self, other)

    def __rpow__(self, other: Any) -> Delayed:
        return _operator("pow", other, self)

    def __matmul__(self, other: Any) -> Delayed:
        return _operator("matmul", self, other)

    def __rmatmul__(self, other: Any) -> Delayed:
        return _operator("matmul", other, self)

    def __lshift__(self, other: Any) -> Delayed:
        return _operator("lshift", self, other)

    def __rlshift__(self, other: Any) -> Delayed:
        return _operator("lshift", other, self)

    def __rshift__(self, other: Any) -> Delayed:
        return _operator("rshift", self, other)

    def __rrshift__(self, other: Any) -> Delayed:
        return _operator("rshift", other, self)

    def __and__(self, other: Any) -> Delayed:
        return _operator("and_", self, other)

    def __rand__(self, other: Any) -> Delayed:
        return _operator("and_", other, self)

    def __or__(self, other: Any) -> Delayed:
        return _operator("or_", self, other)

    def __ror__(self, other: Any) -> Delayed:
        return _operator("or_", other, self)

    def __xor__(self, other: Any) -> Delayed:
        return _operator("xor", self, other)

    def __rxor__(self, other: Any) -> Delayed:
        return _operator("xor", other, self)

    def __lt__(self, other: Any) -> Delayed:
        return _operator("lt", self, other)

    def __le__(self, other: Any) -> Delayed:
        return _operator("le", self, other)

    def __gt__(self, other: Any) -> Delayed:
        return _operator("gt", self, other)

    def __ge__(self, other: Any) -> Delayed:
        return _operator("ge", self, other)

    def __eq__(self, other: Any) -> Delayed:  # type: ignore[override]
        return _operator("eq", self, other)

    def __ne__(self, other: Any) -> Delayed:  # type: ignore[override]
        return _operator("ne", self, other)

    __hash__ = object.__hash__  # by identity, since == builds a node

    def __neg__(self) -> Delayed:
        return _operator("neg", self)

    def __pos__(self) -> Delayed:
        return _operator("pos", self)

    def __invert__(self) -> Delayed:
        return _operator("invert", self)

    def __abs__(self) -> Delayed:
        return _operator("abs", self)


#: Assignment is refused by ``__setattr__``, so the constructor goes to the slots themselves.
_set_node = Delayed.__dict__["node"].__set__
_set_runner = Delayed.__dict__["runner"].__set__
_set_finish = Delayed.__dict__["finish"].__set__
_OWN = tuple(sorted(name for name in vars(Delayed) if not name.startswith("_")))


@freeze.register(Delayed)
def _(value: Delayed) -> Node:
    return value.node


class _QueryMethod:
    """``d.filter``, not called yet."""

    __slots__ = ("_delayed", "_name")

    def __init__(self, delayed: Delayed, name: str) -> None:
        self._delayed = delayed
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Delayed:
        return _method(self._delayed.node, self._name, args, kwargs, self._delayed.runner)

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f".{self._name} is a method of the query: write .{self._name}(...) first.")

    def __bool__(self) -> NoReturn:
        raise TypeError(f".{self._name} is a method of the query: write .{self._name}(...).")

    def __repr__(self) -> str:
        return f"<method {describe(self._delayed.node)}.{self._name}>"


def _method(parent: Node, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], runner: Runner | None) -> Delayed:
    frozen = tuple([_frozen(value) for value in args]) if args else args
    named = {key: _frozen(value) for key, value in kwargs.items()} if kwargs else kwargs
    if runner is None:
        runner = _runner_in(args, kwargs)
    return Delayed(Method(parent, name, frozen, named, where=callsite(2)), runner)


def _runner_in(args: Iterable[Any], kwargs: dict[str, Any]) -> Runner | None:
    for values in (args, kwargs.values()):
        for value in values:
            if type(value) is Delayed and value.runner is not None:
                return value.runner
    return None


def _operator(name: str, *operands: Any) -> Delayed:
    """An Operator node; two queries joined by &, | or ^ are a query, and a query has no other operators."""
    args: list[Any] = []
    queries: list[Node] = []
    runner: Runner | None = None
    for operand in operands:
        if type(operand) in ATOMS:
            args.append(operand)
            continue
        if type(operand) is Delayed:
            frozen = operand.node
            runner = runner or operand.runner
        else:
            frozen = freeze(operand)
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


def attribute(value: Any, name: str) -> Delayed:
    """The attribute ``name`` of a Delayed, also where Delayed has something of that name itself.

    >>> from django_rpc.graph.node import Method, Source
    >>> order = Delayed(Method(Source("shop.Order", "rpc"), "first"))
    >>> attribute(order, "plan")
    <Delayed Order.objects.first().plan>

    Raises ValueError for a name that no field can have.
    """
    return Delayed(Attr(freeze(value), name, where=callsite()), getattr(value, "runner", None))


def delayed(value: Any, runner: Runner | None = None) -> Delayed:
    """A Delayed of ``value``: of the node it stands on (a queryset, a future), or of plain data.

    >>> delayed([1, 2])
    <Delayed [1, 2]>

    Raises TypeError for what cannot be sent to a service.
    """
    from django_rpc.graph.node import Literal

    if isinstance(value, Delayed):
        return value
    frozen = freeze(value)
    node = frozen if isinstance(frozen, Node) else Literal(frozen, where=callsite())
    return Delayed(node, runner)


def compute(*args: Any, timeout: float | None = None, priority: bool = False, **options: Any) -> tuple[Any, ...]:
    """The values of ``args``, in one message a service: Delayed, querysets, futures, and containers of them.

    Containers come back in their shape, plain values as they are.

    >>> compute(1, [2, {"three": 3}])
    (1, [2, {'three': 3}])

    Raises what a single ``compute()`` does.
    """
    from django_rpc.graph.collect import compute as compute_all

    return compute_all(args, {"timeout": timeout, "priority": priority, **options})


def _revive(node: Node, service: str | None, runner: Runner | None, finish: Callable[[Any], Any] | None) -> Delayed:
    from django_rpc.graph.runner import ServiceRunner

    return Delayed(node, ServiceRunner(service) if service is not None else runner, finish)
