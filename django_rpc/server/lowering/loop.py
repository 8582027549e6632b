"""Physical read ``loop``: a statement for each read, by the visitors that also evaluate single nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import QuerySet

from django_rpc.graph.nodes import Node
from django_rpc.server.django_compat import selects_columns
from django_rpc.server.evaluate.environment import Environment, Failure
from django_rpc.server.evaluate.relations import Relation
from django_rpc.server.lowering.physical_read import EqualReads, LogicalRead, is_attribute
from django_rpc.server.lowering.query_template import is_terminal
from django_rpc.server.query.loaded_relations import loaded_by
from django_rpc.server.results import Instances

if TYPE_CHECKING:
    from django_rpc.server.evaluate.scheduler import Scheduler

__all__ = ["Loop", "as_list", "read_separately", "rows_of"]


class Loop:
    """A statement for each read, if no other physical read is possible."""

    name: ClassVar[str] = "loop"

    def matches(self, read: LogicalRead) -> bool:
        return True

    def check(self, engine: Scheduler, read: LogicalRead) -> None:
        """Return always: a loop is always possible."""

    def describe(self, engine: Scheduler, read: LogicalRead) -> str:
        each = "value" if read.element is None else "element"
        reason = read.obstacles[0] if read.obstacles else f".{getattr(read.node, 'name', '')}() shares no statement"
        return f"a statement for each {each}: {reason}"

    def run(self, engine: Scheduler, read: LogicalRead) -> list[Any]:
        return [read_separately(engine, read, equal) for equal in read.reads]


def read_separately(engine: Scheduler, read: LogicalRead, equal: EqualReads) -> Any:
    """Return the value of equal reads, by a statement for them alone; a Failure if they fail."""
    node, environment, row = equal.binding
    if is_terminal(node) or is_attribute(node, read.template):
        return engine.single(node, environment, row)
    return as_list(engine, node, environment, row)


def as_list(engine: Scheduler, node: Node, environment: Environment, row: int) -> Any:
    """Return the value of a query for one row of an environment.

    For an element of a map, the rows are read here, so an error belongs to this element. Otherwise the query itself is
    returned, and its rows are read for the reply.
    """
    value = engine.value(node, environment, row)
    if isinstance(value, Relation):
        value = value.queryset(engine.ev)
    return value if environment is engine.root else rows_of(engine, value, engine.place[node])


def rows_of(engine: Scheduler, value: Any, position: int) -> Any:
    """Return the rows of a query as data, any other value unchanged; a Failure if the rows cannot be read."""
    if not isinstance(value, QuerySet):
        return value
    try:
        if selects_columns(value):
            return list(value)
        return Instances(list(engine.ev.complete(engine.ev.as_client(value))), value.model, loaded_by(value))
    except Exception as error:  # noqa: BLE001 - the error belongs to this element
        return Failure(error, position)
