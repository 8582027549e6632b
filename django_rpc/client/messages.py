"""What listeners and results see of a call."""

from __future__ import annotations

import functools
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from django_rpc.client import errors
from django_rpc.graph.node import Node
from django_rpc.graph.values import Record, Table
from django_rpc.wire.messages import ErrorReport, TraceEntry

__all__ = ["Listener", "MessageRecord", "PlainResults", "Results"]


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """One call, after it was answered or failed."""

    request_id: str
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    text: str  # the request as it was sent
    seconds: float
    trace: tuple[TraceEntry, ...] = ()
    error: Exception | None = None


Listener = Callable[[MessageRecord], object]


class Results(Protocol):
    """How values of a service become the caller's: given to a session by the room above."""

    def of(self, nodes: Iterable[Node]) -> Results:
        """The results of a request, or of one output, that is made of ``nodes``."""

    def record(self, record: Record) -> Any:
        """The object for one instance; records nested in it are left to this method."""

    def table(self, table: Table) -> Any:
        """The list of objects for many instances."""

    def row(self, fields: tuple[str, ...], values: Iterable[Any]) -> Any:
        """The named tuple for a row of ``values_list(named=True)``."""

    def error(self, report: ErrorReport, node: Node | None) -> Exception:
        """The exception for a server's report."""

    def shapes(self, nodes: Iterable[Node]) -> Mapping[str, tuple[str, ...]]:
        """For the models that ``nodes`` name (and those related to them), the fields that instances shall bring."""


class PlainResults:
    """Instances stay `Record` and `Table`; errors are those of `django_rpc.client.errors`."""

    def of(self, nodes: Iterable[Node]) -> Results:
        return self

    def record(self, record: Record) -> Any:
        return record

    def table(self, table: Table) -> Any:
        return table

    def row(self, fields: tuple[str, ...], values: Iterable[Any]) -> Any:
        return _row_class(fields)._make(values)

    def error(self, report: ErrorReport, node: Node | None) -> Exception:
        return errors.build(report, node)

    def shapes(self, nodes: Iterable[Node]) -> Mapping[str, tuple[str, ...]]:
        return {}


@functools.lru_cache(maxsize=1000)
def _row_class(fields: tuple[str, ...]) -> Any:
    return namedtuple("Row", fields)
