"""Objects and functions of the client. These kinds never cross the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import force_setattr

from django_rpc.graph.delayed.local_functions import Finish, MethodOf, function_name
from django_rpc.graph.nodes.base import Node, Place

if TYPE_CHECKING:
    from django_rpc.graph.format import Writer
    from django_rpc.graph.local_evaluation import Values

__all__ = ["LocalCall", "LocalNode", "Opaque"]


class LocalNode(Node, frozen=True, eq=False, kw_only=True):
    """Base of the kinds that run in the client.

    ``label`` is the key given by the user. Without a label, the key of a ``pure`` node is the key of its content, and
    an impure node has a unique key. ``nout`` is the length of the value, if the user declared it.
    """

    is_abstract = True
    place = Place.CLIENT
    operation = "read"

    label: str | None = None
    pure: bool = False
    nout: int | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "is_local", True)

    @property
    def is_unique(self) -> bool:
        return not self.pure and self.label is None


class Opaque(LocalNode, frozen=True, eq=False):
    """A Python object of the client that is not plain data; its containers may hold nodes."""

    tag = "held"

    value: Any

    @property
    def key_name(self) -> str:
        return getattr(self.value, "__name__", None) or type(self.value).__name__

    def text(self, write: Writer) -> str:
        return write.value(self.value)

    def compute(self, values: Values) -> Any:
        return values.resolve(self.value)


class LocalCall(LocalNode, frozen=True, eq=False):
    """A call of a Python function in the client: ``function(*args, **kwargs)``.

    ``function`` may be a node. ``pure`` declares that equal arguments have equal results, so equal pure calls run once.
    """

    tag = "apply"

    function: Any
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}

    @property
    def key_name(self) -> str:
        return function_name(self.function)

    def text(self, write: Writer) -> str:
        args = self.args
        if isinstance(self.function, Finish):
            return write.deeper().value(args[0])  # an internal step, which the user did not write
        if isinstance(self.function, Node):
            return f"{write.value(self.function)}({write.arguments(args, self.kwargs)})"
        name = function_name(self.function)
        if isinstance(self.function, MethodOf):
            return f"{write.value(args[0])}.{name}({write.arguments(args[1:], self.kwargs)})"
        return f"{name}({write.arguments(args, self.kwargs)})"

    def compute(self, values: Values) -> Any:
        return values.resolve(self.function)(*values.resolve(self.args), **values.resolve(self.kwargs))
