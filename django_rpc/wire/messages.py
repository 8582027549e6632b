"""The two messages of the protocol, as what they hold after decoding."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from django_rpc.graph.node import Node

__all__ = [
    "DEFAULT_LANGUAGE",
    "PROTOCOL_VERSION",
    "ClientInfo",
    "ErrorReport",
    "HandOver",
    "NodeCost",
    "Origin",
    "Request",
    "Response",
    "TraceEntry",
]

PROTOCOL_VERSION = 1
#: The language of a request that names none.
DEFAULT_LANGUAGE = "en-us"


#: A claim goes into every line of the log: a decoder refuses a longer one.
_Claim = Annotated[str, msgspec.Meta(max_length=255)]


#: What a request asks for beside, or in place of, its values.
Asking = Literal["", "profile", "explain"]


class ClientInfo(msgspec.Struct, frozen=True):
    """Who calls, by its own claim: for logs, never for a decision."""

    host: _Claim = ""
    process: int = 0
    name: _Claim = ""
    called_at: float = 0.0  # seconds since the epoch


#: Requests that values come from or go to: each is a look-up, or a copy of what may be large.
_MAX_LINKS = 1_000
_Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:-]{1,128}\Z")]
_Index = Annotated[int, msgspec.Meta(ge=0)]


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A request whose values are handed to this one by the service that worked them out: its ``id``.

    Where it was signed, also what they are checked by: the ``hash`` of its bytes, the names of its ``client`` and
    ``service``, and the public ``keys`` of that service by their ids.
    """

    id: _Id
    hash: _Claim = ""
    client: _Claim = ""
    service: _Claim = ""
    keys: Annotated[dict[str, Annotated[str, msgspec.Meta(max_length=4096)]], msgspec.Meta(max_length=16)] = {}


class HandOver(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """To which message values go: its id and queue, how many requests it ``waits`` for, the places of the outputs."""

    to: _Id
    queue: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    waits: Annotated[int, msgspec.Meta(ge=1, le=_MAX_LINKS)]
    outputs: tuple[_Index, ...]


Origins = Annotated[tuple[Origin, ...], msgspec.Meta(max_length=_MAX_LINKS)]
HandOvers = Annotated[tuple[HandOver, ...], msgspec.Meta(max_length=_MAX_LINKS)]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What one message asks for.

    ``nodes`` are in topological order: each node's inputs stand before it.  ``outputs`` are indices into it.
    ``shapes`` says, for a model's name at the server, which fields its instances bring back; a model that is
    not in it brings all that the client may read.
    """

    id: str
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    client: ClientInfo = ClientInfo()
    expires: float | None = None  # seconds since the epoch; later than that, nobody waits for the answer
    shapes: dict[str, tuple[str, ...]] = {}
    trace: bool = False  # ask for the SQL that ran; the server's SHOW_SQL decides
    asking: Asking = ""  # what else is asked for than the values
    once: bool = False  # refuse it rather than do it where no ledger holds that it is done once
    given: tuple[Origin, ...] = ()  # whose values stand in for each `Given` among the nodes
    then: tuple[HandOver, ...] = ()  # where outputs go, rather than to the client
    back: tuple[int, ...] | None = None  # with ``then``: the outputs that the client gets; None: not even an answer
    zone: str = ""  # the active time zone of the client, as `wire.zones` writes it; "": UTC
    default_zone: str = ""  # the zone of naive datetimes; "": the active one
    language: str = ""  # the active language of the client; "": en-us


class TraceEntry(msgspec.Struct, frozen=True, array_like=True):
    """One SQL statement that the server ran for this request; ``node`` is the index of the node at work."""

    sql: str
    seconds: float
    node: int | None = None


class NodeCost(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What one node cost: how many values it had, the time at work on it, the rows in its values, its statements.

    What several nodes were read by together is told of the first of them.
    """

    node: int
    times: int
    seconds: float
    rows: int
    statements: int


class ErrorReport(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request failed; among the outputs or in a list, why this value could not be had.

    ``code`` is a name of the closed list in docs/protocol.md (``"DoesNotExist"``, ``"FieldError"``, ``"Remote"``, ...);
    ``remote_name`` is the server's class for codes that the list does not have.  ``data`` is a value that the code
    defines (the dict of a ValidationError, the protected records of a ProtectedError).  ``node`` is an index into the
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
