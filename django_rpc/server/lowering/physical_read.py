"""Protocol of the physical reads: each answers many reads of one query template in a specific way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from django.db.models import Model

from django_rpc.graph.nodes import Attr, Element, Node
from django_rpc.server.lowering.query_template import QueryTemplate

if TYPE_CHECKING:
    from django_rpc.server.evaluate.environment import Binding
    from django_rpc.server.evaluate.scheduler import Scheduler

__all__ = ["EqualReads", "LogicalRead", "NotPossible", "PhysicalRead", "is_attribute"]


class NotPossible(Exception):
    """A physical read cannot answer the reads; the text is the reason."""


class EqualReads:
    """Bindings that read the same; they share a result.

    ``values`` are the values of the template's parameters, and ``relation`` is the value of its base, or of the
    parent of an attribute; None for a model. ``indexes`` are the positions of the bindings.
    """

    __slots__ = ("binding", "indexes", "relation", "values")

    def __init__(self, binding: Binding, values: list[Any], relation: Any, index: int) -> None:
        self.binding = binding
        self.values = values
        self.relation = relation
        self.indexes = [index]


def is_attribute(node: Node, template: QueryTemplate) -> bool:
    """Return True for an attribute of a value, and False for the rows of a relation."""
    return isinstance(node, Attr) and bool(template.operations)


@dataclass(slots=True)
class LogicalRead:
    """Reads of one template that differ in the parameters at the positions ``differing``.

    - ``node``: the node of the first read.
    - ``element``: the element of the map that the first read is in; None outside of maps.
    - ``reads``: the reads; empty in a plan that is explained and not run.
    - ``model``: the model of the rows, and ``element_model`` the model of the elements, as far as a plan knows them.
    - ``obstacles``: for each physical read that was tried, the reason why it cannot answer the reads.
    """

    template: QueryTemplate
    differing: list[int]
    node: Node
    element: Element | None
    reads: list[EqualReads] = field(default_factory=list)
    model: type[Model] | None = None
    element_model: type[Model] | None = None
    obstacles: list[str] = field(default_factory=list)

    @property
    def terminal(self) -> Node | None:
        """Return the operation that reads; None if all rows of a base are read."""
        return self.template.operations[-1] if self.template.operations else None


class PhysicalRead(Protocol):
    """A way to answer many reads. ``name`` is the name that ``explain()`` prints."""

    name: ClassVar[str]

    def matches(self, read: LogicalRead) -> bool:
        """Return True if reads with these operations are of this kind."""
        ...

    def check(self, engine: Scheduler, read: LogicalRead) -> None:
        """Raise NotPossible for a reason that is known without the values of the reads."""
        ...

    def describe(self, engine: Scheduler, read: LogicalRead) -> str:
        """Return details for ``explain()``; raises NotPossible like `check`, and for reasons of the models."""
        ...

    def run(self, engine: Scheduler, read: LogicalRead) -> list[Any]:
        """Return the value, or the Failure, of each of ``read.reads``; raises NotPossible."""
        ...
