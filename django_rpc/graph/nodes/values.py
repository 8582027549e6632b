"""Steps on values that need no query: attributes, items, operators, and plain data."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from msgspec.structs import force_setattr

from django_rpc.graph.nodes.base import Node, Place
from django_rpc.graph.vocabulary import names as vocabulary

if TYPE_CHECKING:
    from django_rpc.graph.format import Writer
    from django_rpc.graph.local_evaluation import Values

__all__ = ["INFIX", "Attr", "Item", "Literal", "Operator"]

#: Signs of the operators between two values.
INFIX = {
    **{"add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**", "matmul": "@"},
    **{"lshift": "<<", "rshift": ">>", "and_": "&", "or_": "|", "xor": "^"},
    **{"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="},
}
_PREFIX = {"neg": "-", "pos": "+", "invert": "~", "not_": "not "}


class Attr(Node, frozen=True, eq=False):
    """An attribute of a value: a field, a relation or a computed field of a model instance."""

    tag = "attr"
    place = Place.PARENT
    operation = "read"

    parent: Node
    name: str

    def __post_init__(self) -> None:
        vocabulary.check_identifier(self.name)
        if self.parent.is_local:
            force_setattr(self, "is_local", True)

    @property
    def step_name(self) -> str:
        return self.name

    def text(self, write: Writer) -> str:
        return f".{self.name}"

    def compute(self, values: Values) -> Any:
        return getattr(values[self.parent], self.name)


class Item(Node, frozen=True, eq=False):
    """``parent[key]``; a slice of a query is a query."""

    tag = "item"
    place = Place.PARENT
    operation = "read"

    parent: Node
    key: Any

    def __post_init__(self) -> None:
        if self.parent.is_query and isinstance(self.key, slice):
            force_setattr(self, "is_query", True)
        if self.parent.is_local:
            force_setattr(self, "is_local", True)

    def text(self, write: Writer) -> str:
        return f"[{write.value(self.key)}]"

    def compute(self, values: Values) -> Any:
        return values[self.parent][values.resolve(self.key)]


class Operator(Node, frozen=True, eq=False):
    """A Python operator on one or two values, by its name in the module ``operator``."""

    tag = "operator"
    place = Place.INPUTS
    operation = "read"

    name: str
    args: tuple[Any, ...]

    def __post_init__(self) -> None:
        vocabulary.check_operator(self.name, len(self.args))
        for value in self.args:
            if isinstance(value, Node) and value.is_local:
                force_setattr(self, "is_local", True)

    def text(self, write: Writer) -> str:
        left = write.value(self.args[0])
        if len(self.args) == 2 and self.name in INFIX:
            return f"({left} {INFIX[self.name]} {write.value(self.args[1])})"
        if len(self.args) == 1 and self.name in _PREFIX:
            return f"({_PREFIX[self.name]}{left})"
        return f"{self.name}({', '.join(map(write.value, self.args))})"

    def compute(self, values: Values) -> Any:
        return getattr(operator, self.name)(*values.resolve(self.args))


class Literal(Node, frozen=True, eq=False):
    """A plain value, or a container that holds nodes."""

    tag = "literal"
    place = Place.INPUTS
    operation = "read"

    value: Any

    def __post_init__(self) -> None:
        force_setattr(self, "is_local", True)

    @property
    def key_name(self) -> str:
        return getattr(self.value, "__name__", None) or type(self.value).__name__

    def text(self, write: Writer) -> str:
        return write.value(self.value)

    def compute(self, values: Values) -> Any:
        return values.resolve(self.value)
