"""Results of operations that a block has collected and not sent, which are known at the end of the block.

Before the end a result can be an argument of later operations of the block, like a Delayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Protocol

from django_rpc.graph.delayed.local_arguments import waited_for
from django_rpc.graph.format import describe
from django_rpc.graph.nodes import Item, Literal, LocalCall, Node, Opaque
from django_rpc.graph.values import freeze

__all__ = ["Collected", "Collector", "Pending", "collectors", "pending_of"]


class Collector(Protocol):
    """Protocol of a block that collects operations (`unit_of_work.Unit`)."""

    service: str
    refusal: Callable[[str], Exception]


#: Open blocks of this context, by their service.
collectors: ContextVar[Mapping[str, Any]] = ContextVar("django_rpc_collectors", default=MappingProxyType({}))

_UNKNOWN = object()
_LOST = object()


class Pending:
    """Placeholder of a value that the service determines at the end of the block, such as a primary key.

    It is a part of the answer to the operation ``collected``; ``keys`` locate it (an index, then a name or an index).
    Before the end it is equal to itself only, and afterwards to the value, or to None if the block was not executed.
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
        """Return True before the end of the block."""
        return self._value is _UNKNOWN and not self.collected.is_lost

    def result(self, timeout: float | None = None) -> Any:
        """Return the value; raise the refusal of the block before its end, and if it was not executed."""
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
    """Result of an operation that a block collects; ``result()`` returns it after the end of the block.

    Comparison, iteration and truth are those of the result after the end, and raise an error before.
    """

    __slots__ = ("_value", "collector", "node")

    def __init__(self, collector: Collector, node: Node) -> None:
        self.collector = collector
        self.node = node
        self._value: Any = _UNKNOWN

    def settle(self, value: Any) -> None:
        self._value = value

    def lose(self) -> None:
        """Note that the block was not executed."""
        self._value = _LOST

    @property
    def is_lost(self) -> bool:
        return self._value is _LOST

    def done(self) -> bool:
        return self._value is not _UNKNOWN and self._value is not _LOST

    def result(self, timeout: float | None = None) -> Any:
        """Return the result; raise the refusal of the block before its end, and if it was not executed."""
        if not self.done():
            raise self.not_known(f"The result of {describe(self.node, 100)}")
        return self._value

    def not_known(self, what: str) -> Exception:
        if self.is_lost:
            return self.collector.refusal(f"{what} does not exist: the block that collected it was not executed.")
        return self.collector.refusal(
            f"{what} is not known yet: it is sent at the end of the block of "
            f"django_rpc.atomic({self.collector.service!r}). Use it as an argument of the next operation of the block, "
            "or read it after the block."
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
    """Return the node of ``value`` as an argument; before the end of the block, a node that waits for the value."""
    if value.done():
        return Literal(freeze(value.result()))
    if (value.collected if isinstance(value, Pending) else value).is_lost:
        value.result()
    return waited_for(value)


def pending_of(node: Node) -> Pending | Collected | None:
    """Return the collected value that a node of `waited_for` waits for; None for any other node."""
    if isinstance(node, LocalCall) and len(node.args) == 1:
        node = node.args[0]
    if isinstance(node, Opaque) and isinstance(node.value, Pending | Collected):
        return node.value
    return None


def node_within(waiting: Node, replaced: Mapping[Node, Node]) -> Node:
    """Return the node that replaces a waiting node in the message of the block; ``replaced`` maps replaced nodes."""
    value = pending_of(waiting)
    assert value is not None
    collected = value.collected if isinstance(value, Pending) else value
    if collected.is_lost:
        value.result()
    node = replaced.get(collected.node, collected.node)
    if isinstance(value, Pending):
        first, second = value.keys
        (placeholder,) = waiting.inputs()  # its place in the order is free, after the collected node
        node = Item(Item(node, first, order=placeholder.order, where=waiting.where), second, order=waiting.order)
    return node
