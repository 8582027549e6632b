"""What a block has collected and not sent: results that are known when it ends, and who must not ask before.

Until then a result is a value like a Delayed: it can be given to later operations of the block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Protocol

from django_rpc.graph.delayed.local_arguments import waited_for
from django_rpc.graph.format import describe
from django_rpc.graph.nodes.base import Item, Literal, LocalCall, Node, Opaque
from django_rpc.graph.plan.stages import Plan
from django_rpc.graph.values import freeze

__all__ = ["Collected", "Collector", "Pending", "collectors", "pending_of"]


class Collector(Protocol):
    """A block that collects (`unit.Unit`)."""

    service: str
    refusal: Callable[[str], Exception]

    def check(self, plan: Plan) -> None:
        """Raise where a plan that shall be run now needs what is not sent, or could see it."""


#: Those that are open in this context, by their service.
collectors: ContextVar[Mapping[str, Any]] = ContextVar("django_rpc_collectors", default=MappingProxyType({}))

_UNKNOWN = object()
_LOST = object()


class Pending:
    """A value that the service fills in when the block ends: an instance's key, until then.

    It is part (``keys``: an index, then a name or an index) of the answer to what was ``collected``.  Before the end it
    is equal to itself alone; afterwards to the value that came, or to None where nothing was done.
    """

    __slots__ = ("_value", "collected", "keys", "name")

    def __init__(self, collected: Collected, keys: tuple[Any, ...], name: str) -> None:
        self.collected = collected
        self.keys = keys
        self.name = name
        self._value: Any = _UNKNOWN

    def settle(self, value: Any) -> None:
        self._value = value

    def done(self) -> bool:
        return self._value is not _UNKNOWN

    @property
    def is_open(self) -> bool:
        """The block that fills it in goes on."""
        return self._value is _UNKNOWN and not self.collected.is_lost

    def result(self, timeout: float | None = None) -> Any:
        """The value; raises the block's refusal before the end, and where nothing was done."""
        if self._value is _UNKNOWN:
            raise self.collected.not_known(f"{self.name} of {describe(self.collected.node, 100)}")
        return self._value

    def __rpc_node__(self) -> Node:
        return _node_of(self)

    def __eq__(self, other: object) -> bool:
        if self._value is _UNKNOWN:
            return other is self or (other is None and self.collected.is_lost)
        return bool(self._value == other)

    __hash__ = object.__hash__

    def __int__(self) -> int:
        return int(self.result())

    __index__ = __int__

    def __repr__(self) -> str:
        if self.done():
            return repr(self._value)
        return f"<{self.name}, {'never given' if self.collected.is_lost else 'known when the block has ended'}>"

    def __deepcopy__(self, memo: Any) -> Pending:
        return self


class Collected:
    """The result of an operation that a block collects, known when the block has ended: ``result()``.

    Then it is compared, iterated over and asked for its truth as its result is; before, that raises.
    """

    __slots__ = ("_value", "collector", "node")

    def __init__(self, collector: Collector, node: Node) -> None:
        self.collector = collector
        self.node = node
        self._value: Any = _UNKNOWN

    def settle(self, value: Any) -> None:
        self._value = value

    def lose(self) -> None:
        """Nothing was done."""
        self._value = _LOST

    @property
    def is_lost(self) -> bool:
        return self._value is _LOST

    def done(self) -> bool:
        return self._value is not _UNKNOWN and self._value is not _LOST

    def result(self, timeout: float | None = None) -> Any:
        """The result; raises the block's refusal before the end, and where nothing was done."""
        if not self.done():
            raise self.not_known(f"The result of {describe(self.node, 100)}")
        return self._value

    def not_known(self, what: str) -> Exception:
        if self.is_lost:
            return self.collector.refusal(f"{what} does not exist: the block that collected it was not done.")
        return self.collector.refusal(
            f"{what} is not known yet: it is sent when the block of django_rpc.atomic({self.collector.service!r}) "
            "ends. Give it to the next operation of the block as it is, or ask after the block."
        )

    def __rpc_node__(self) -> Node:
        return _node_of(self)

    def __bool__(self) -> bool:
        return bool(self.result())

    def __eq__(self, other: object) -> bool:
        return other is self or bool(self.result() == other)

    __hash__ = object.__hash__

    def __iter__(self) -> Iterator[Any]:
        return iter(self.result())

    def __getitem__(self, key: Any) -> Any:
        return self.result()[key]

    def __int__(self) -> int:
        return int(self.result())

    __index__ = __int__

    def __repr__(self) -> str:
        if self.done():
            return f"<Collected {self._value!r}>"
        return f"<Collected {describe(self.node, 80)}: {'not done' if self.is_lost else 'sent when the block ends'}>"

    def __deepcopy__(self, memo: Any) -> Collected:
        return self


def _node_of(value: Any) -> Node:
    """``value`` as an argument: what is waited for, so that a query of the block can be asked after it, too."""
    if value.done():
        return Literal(freeze(value.result()))
    if (value.collected if isinstance(value, Pending) else value).is_lost:
        value.result()
    return waited_for(value)


def pending_of(node: Node) -> Pending | Collected | None:
    """What a node of `waited_for` waits for, if a block has collected it."""
    if isinstance(node, LocalCall) and len(node.args) == 1:
        node = node.args[0]
    if isinstance(node, Opaque) and isinstance(node.value, Pending | Collected):
        return node.value
    return None


def node_within(waiting: Node, replaced: Mapping[Node, Node]) -> Node:
    """What a waiting node stands for in the block's own message, where ``replaced`` are other nodes by now."""
    value = pending_of(waiting)
    assert value is not None
    collected = value.collected if isinstance(value, Pending) else value
    if collected.is_lost:
        value.result()
    node = replaced.get(collected.node, collected.node)
    if isinstance(value, Pending):
        first, second = value.keys
        (held,) = waiting.inputs()  # built before the waiting node and after what is collected: its place is free
        node = Item(Item(node, first, order=held.order, where=waiting.where), second, order=waiting.order)
    return node
