"""Records of messages, and the protocol of results."""

from __future__ import annotations

import functools
from collections import namedtuple
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from django_rpc.client.remote_errors import build
from django_rpc.graph.nodes import Node
from django_rpc.graph.values import Record, Table
from django_rpc.telemetry.hooks import Sent
from django_rpc.wire.messages import ErrorReport, TraceEntry

__all__ = ["MessageRecord", "PlainResults", "Results"]


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """Record of one call, after its answer or its failure."""

    request_id: str
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    data: bytes
    seconds: float
    trace: tuple[TraceEntry, ...] = ()
    error: Exception | None = None

    @classmethod
    def of(cls, message: Sent) -> MessageRecord:
        """Return the record of a message that has ended."""
        request = message.request
        assert request is not None
        return cls(
            request.id, request.nodes, request.outputs, message.data, message.seconds, message.trace, message.error
        )

    @property
    def text(self) -> str:
        """Return the request as it was sent."""
        return self.data.decode("utf-8", "replace")


class Results(Protocol):
    """Conversion of values of a service to objects of the caller. A higher layer gives it to a session."""

    def of(self, nodes: Iterable[Node]) -> Results:
        """Return the results of a request, or of one output, that consists of ``nodes``."""

    def record(self, record: Record) -> Any:
        """Return the object for one instance. This method also converts the records nested in it."""

    def table(self, table: Table) -> Any:
        """Return the list of objects for many instances."""

    def row(self, fields: tuple[str, ...], values: Iterable[Any]) -> Any:
        """Return the named tuple for a row of ``values_list(named=True)``."""

    def error(self, report: ErrorReport, node: Node | None) -> Exception:
        """Return the exception for a server's report."""

    def shapes(self, nodes: Iterable[Node]) -> Mapping[str, tuple[str, ...]]:
        """Return the fields that instances must have, for the models of ``nodes`` and their related models."""


class PlainResults:
    """Results without conversion: instances stay `Record` and `Table`, errors are of `django_rpc.errors`."""

    def of(self, nodes: Iterable[Node]) -> Results:
        return self

    def record(self, record: Record) -> Any:
        return record

    def table(self, table: Table) -> Any:
        return table

    def row(self, fields: tuple[str, ...], values: Iterable[Any]) -> Any:
        return tuple.__new__(_row_class(fields), values)  # there may be more values than names

    def error(self, report: ErrorReport, node: Node | None) -> Exception:
        return build(report)

    def shapes(self, nodes: Iterable[Node]) -> Mapping[str, tuple[str, ...]]:
        return {}


@functools.lru_cache(maxsize=1000)
def _row_class(fields: tuple[str, ...]) -> Any:
    return namedtuple("Row", fields)
