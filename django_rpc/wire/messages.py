"""The two messages of the protocol, in their decoded form."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from django_rpc.graph.nodes import Node

__all__ = [
    "DEFAULT_LANGUAGE",
    "PROTOCOL_VERSION",
    "ClientInfo",
    "ErrorReport",
    "HandOver",
    "NodeCost",
    "Origin",
    "PlannedRead",
    "Request",
    "Response",
    "TraceEntry",
]

PROTOCOL_VERSION = 1
#: The language of a request without a language.
DEFAULT_LANGUAGE = "en-us"


#: A claim is written to every line of the log, so a decoder refuses a longer claim.
_Claim = Annotated[str, msgspec.Meta(max_length=255)]


#: Information that a request wants in addition to its values, or instead of them.
Asking = Literal["", "profile", "explain"]


class ClientInfo(msgspec.Struct, frozen=True):
    """The caller, according to the client: for logs, never for a decision."""

    host: _Claim = ""
    process: int = 0
    name: _Claim = ""
    called_at: float = 0.0  # seconds since the epoch


#: Maximum number of requests that values are received from or sent to. Each needs a lookup or a copy of large data.
_MAX_LINKS = 1_000
_Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:-]{1,128}\Z")]
_Index = Annotated[int, msgspec.Meta(ge=0)]


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Another request, by its ``id``: the service that evaluates it sends its values to this request.

    If the other request is signed, the other fields verify its values: the ``hash`` of its bytes, the names of its
    ``client`` and ``service``, and the public ``keys`` of that service by their ids.
    """

    id: _Id
    hash: _Claim = ""
    client: _Claim = ""
    service: _Claim = ""
    keys: Annotated[dict[str, Annotated[str, msgspec.Meta(max_length=4096)]], msgspec.Meta(max_length=16)] = {}


class HandOver(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Values for another message: its id and queue, the number of requests that it ``waits`` for, the places of
    outputs."""

    to: _Id
    queue: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    waits: Annotated[int, msgspec.Meta(ge=1, le=_MAX_LINKS)]
    outputs: tuple[_Index, ...]


Origins = Annotated[tuple[Origin, ...], msgspec.Meta(max_length=_MAX_LINKS)]
HandOvers = Annotated[tuple[HandOver, ...], msgspec.Meta(max_length=_MAX_LINKS)]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a request message.

    ``nodes`` are in topological order: the inputs of a node precede it. ``outputs`` are indices into ``nodes``.
    ``shapes`` maps a model's name at the server to the fields that its instances return. Instances of other models
    return all fields that the client may read.
    """

    id: str
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    client: ClientInfo = ClientInfo()
    expires: float | None = None  # seconds since the epoch; after it, the client no longer waits for the answer
    shapes: dict[str, tuple[str, ...]] = {}
    trace: bool = False  # return the SQL of the request; the server's SHOW_SQL decides
    asking: Asking = ""  # information wanted in addition to the values
    once: bool = False  # refuse the request if no ledger ensures that it runs only once
    given: tuple[Origin, ...] = ()  # requests with values for each `Handed` among the nodes
    then: tuple[HandOver, ...] = ()  # other messages that receive outputs
    back: tuple[int, ...] | None = None  # with ``then``: the outputs for the client; None: the client gets no answer
    zone: str = ""  # the client's active time zone, in the form of `wire.zones`; "": UTC
    default_zone: str = ""  # the zone of naive datetimes; "": the active zone
    language: str = ""  # the active language of the client; "": en-us


class TraceEntry(msgspec.Struct, frozen=True, array_like=True):
    """One SQL statement that the server ran for this request; ``node`` is the index of the node at work."""

    sql: str
    seconds: float
    node: int | None = None


class NodeCost(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The cost of one node: the number of its values, seconds of work, rows in its values, SQL statements.

    The cost of several nodes that share a statement is reported for the first of them.
    """

    node: int
    times: int
    seconds: float
    rows: int
    statements: int


class PlannedRead(msgspec.Struct, frozen=True, array_like=True):
    """The way in which the server answers many reads: ``kind`` is a name, ``detail`` a text for a person."""

    node: int
    kind: str
    detail: str


class ErrorReport(msgspec.Struct, frozen=True, kw_only=True):
    """The reason why a request failed; among the outputs or in a list, the reason why one value is missing.

    ``code`` is a name of the closed list in docs/protocol.md (``"DoesNotExist"``, ``"FieldError"``, ``"Remote"``, ...).
    ``remote_name`` is the server's error class if the list has no code for it. ``data`` is a value that the code
    defines (the dict of a ValidationError, the protected records of a ProtectedError). ``node`` is an index into the
    request.
    """

    code: str
    message: str
    model: str | None = None
    remote_name: str | None = None
    data: Any = None
    node: int | None = None
    traceback: str | None = None


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: the values of the request's outputs, or an error."""

    id: str
    outputs: tuple[Any, ...] = ()
    error: ErrorReport | None = None
    trace: tuple[TraceEntry, ...] = ()
    costs: tuple[NodeCost, ...] = ()
    refused: tuple[ErrorReport, ...] = ()
    later: tuple[int, ...] = ()
    reads: tuple[PlannedRead, ...] = ()
