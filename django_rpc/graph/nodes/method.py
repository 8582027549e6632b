"""Calls of methods on values of a service: the methods of Django, and the methods that a service registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from msgspec.structs import force_setattr

from django_rpc.graph.nodes.base import Effect, Node, Place
from django_rpc.graph.nodes.values import INFIX
from django_rpc.graph.values import Expr
from django_rpc.graph.vocabulary import names as vocabulary
from django_rpc.graph.vocabulary.signatures import check_method_arguments
from django_rpc.graph.walk import ARGUMENTS, children

if TYPE_CHECKING:
    from django_rpc.graph.format import Writer
    from django_rpc.graph.local_evaluation import Values

__all__ = ["Call", "Method"]

#: Steps that Django adds to a query internally. The user did not write them, so the text omits them.
_SILENT = frozenset(
    "sticky clear_ordering default_ordering clear_limits clear_select_clause add_fields through_columns".split()
)
_SPELLED = {"filter_reuse": "filter", "add_ordering": "order_by"}
_OPERATIONS = {
    **dict.fromkeys(("create", "get_or_create", "update_or_create"), "create"),
    "delete": "delete",
    "refresh": "read",
}


class Method(Node, frozen=True, eq=False):
    """A call of a method of the closed vocabulary (``vocabulary.METHODS``) on the value of ``parent``."""

    tag = "method"
    place = Place.PARENT

    parent: Node
    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}

    def __post_init__(self) -> None:
        vocabulary.check_method(self.name)
        if self.parent.is_query and vocabulary.METHODS[self.name].returns_query:
            force_setattr(self, "is_query", True)

    def check_received(self) -> None:
        if self.args or self.kwargs:
            check_method_arguments(self.name, self.args, self.kwargs)

    @property
    def effect(self) -> Effect:  # type: ignore[override]  # depends on the method
        return Effect.WRITE if vocabulary.METHODS[self.name].writes else Effect.READ

    @property
    def operation(self) -> str:  # type: ignore[override]  # depends on the method
        return _OPERATIONS.get(self.name, "update" if self.writes else "read")

    @property
    def is_unique(self) -> bool:
        """Return True for a write, a random order and a random expression."""
        if self.writes:
            return True
        if self.name in ("order_by", "add_ordering") and any(
            name in ("?", "-?") for name in self.args if type(name) is str
        ):
            return True
        return _is_random(self.args) or _is_random(self.kwargs)

    @property
    def method_name(self) -> str:  # type: ignore[override]  # depends on the node
        return self.name

    @property
    def step_name(self) -> str:
        return self.name

    def text(self, write: Writer) -> str:
        if self.name in _SILENT:
            return ""
        if self.name in ("and_", "or_", "xor") and len(self.args) == 1:
            return f" {INFIX[self.name]} {write.value(self.args[0])}"
        return f".{_SPELLED.get(self.name, self.name)}({write.arguments(self.args, self.kwargs)})"

    def compute(self, values: Values) -> Any:
        method = getattr(values[self.parent], self.name)
        return method(*values.resolve(self.args), **values.resolve(self.kwargs))


def _is_random(value: Any) -> bool:
    if type(value) is Expr and value.name == "Random":
        return True
    return type(value) in ARGUMENTS and any(_is_random(item) for item in children(value) if type(item) in ARGUMENTS)


class Call(Node, frozen=True, eq=False):
    """A call of a method that the server registered by name (``ModelRpc.methods``); it may write."""

    tag = "call"
    place = Place.PARENT
    effect: ClassVar[Effect] = Effect.WRITE
    operation = "call"
    runs_service_code = True

    parent: Node
    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}

    def __post_init__(self) -> None:
        vocabulary.check_identifier(self.name)

    def check_received(self) -> None:
        for keyword in self.kwargs:
            vocabulary.check_path(keyword)  # a registered method may take lookups

    @property
    def step_name(self) -> str:
        return self.name

    def text(self, write: Writer) -> str:
        return f".call({write.arguments((self.name, *self.args), self.kwargs)})"
