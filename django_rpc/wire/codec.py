"""Encoding and decoding of the two messages; ``docs/protocol.md`` is the specification.

>>> from django_rpc.graph.nodes import ModelSource
>>> text = encode_request(Request(id="r1", nodes=(ModelSource(model="shop.Order", service="rpc"),), outputs=(0,)))
>>> text
b'{"v":1,"id":"r1","nodes":[["source","shop.Order"]],"outputs":[0]}'
>>> decode_request(text).nodes[0].model
'shop.Order'

JSON is the only format so far. Another format would be a second `_Format`; all other code works on plain trees.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from django_rpc.errors import (
    BadMessage,
    BadValue,
    HandOverFailed,
    TooManyNodes,
    UnknownNode,
    VersionMismatch,
    WireError,
)
from django_rpc.graph.nodes import KINDS, Node
from django_rpc.graph.values import RowSet, Table
from django_rpc.graph.vocabulary.names import check_identifier, check_model
from django_rpc.wire.limits import REQUEST_LIMITS, RESPONSE_LIMITS, Limits, check_depth, check_size, too_deep, too_large
from django_rpc.wire.messages import (
    DEFAULT_LANGUAGE,
    PROTOCOL_VERSION,
    Asking,
    ClientInfo,
    HandOvers,
    NodeCost,
    Origin,
    Origins,
    PlannedRead,
    Request,
    Response,
    TraceEntry,
)
from django_rpc.wire.nodes import READERS, WRITERS, AnyForm
from django_rpc.wire.rows import decode_rows
from django_rpc.wire.tags import ErrorForm, Unpacker, read_error, read_parents
from django_rpc.wire.values import Packer, error_form
from django_rpc.wire.zones import UTC, read_zone

__all__ = ["decode_request", "decode_response", "encode_request", "encode_response", "request_content"]

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
#: Errors of msgspec for bytes that are not text, not JSON, or not of the expected form.
_PARSER_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, OverflowError)
#: Errors of the construction of a value: ArithmeticError for ``Decimal("1e99999999999999999999")``.
_VALUE_ERRORS = (ValueError, TypeError, ArithmeticError)


#: The form of a language code in Django; a service compares it with its languages.
_Language = Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z]{1,8}(-[A-Za-z0-9]{1,8}){0,4}(@[A-Za-z0-9]{1,20})?)?\Z")]


class _RequestForm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    v: int
    id: str
    client: ClientInfo = ClientInfo()
    expires: float | None = None
    nodes: list[AnyForm]
    outputs: list[int]
    shapes: dict[str, tuple[str, ...]] = {}
    trace: bool = False
    asking: Asking = ""
    once: bool = False
    given: Origins = ()
    then: HandOvers = ()
    back: tuple[int, ...] | None = None
    zone: str = ""
    default_zone: str = ""
    language: _Language = ""


class _ContentForm(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a request, as undecoded text: it is equal in all deliveries of one request."""

    nodes: msgspec.Raw
    outputs: msgspec.Raw
    shapes: msgspec.Raw = msgspec.Raw(b"{}")
    zone: msgspec.Raw = msgspec.Raw(b"")
    default_zone: msgspec.Raw = msgspec.Raw(b"")


class _ResponseForm(msgspec.Struct, frozen=True, kw_only=True):
    v: int
    id: str
    outputs: list[msgspec.Raw] = []
    error: ErrorForm | None = None
    trace: tuple[TraceEntry, ...] = ()
    costs: tuple[NodeCost, ...] = ()
    refused: list[ErrorForm] = []
    later: tuple[int, ...] = ()
    reads: tuple[PlannedRead, ...] = ()


class _RowsForm(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: msgspec.Raw


class _TableForm(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    model: str
    fields: tuple[str, ...]
    types: tuple[str, ...]
    rows: msgspec.Raw
    parents: dict[str, Any] = {}


class _RowsOutput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    body: _RowsForm = msgspec.field(name="$rows")


class _TableOutput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    body: _TableForm = msgspec.field(name="$table")


@dataclass(frozen=True, slots=True)
class _Format:
    """Functions that encode plain trees to bytes, and decode bytes to typed trees."""

    encode: Callable[[Any], bytes]
    request: Callable[[bytes], _RequestForm]
    content: Callable[[bytes], _ContentForm]
    response: Callable[[bytes], _ResponseForm]
    rows: Callable[[msgspec.Raw], _RowsOutput]
    table: Callable[[msgspec.Raw], _TableOutput]
    any: Callable[[Any], Any]


_JSON = _Format(
    encode=msgspec.json.Encoder().encode,
    request=msgspec.json.Decoder(_RequestForm).decode,
    content=msgspec.json.Decoder(_ContentForm).decode,
    response=msgspec.json.Decoder(_ResponseForm).decode,
    rows=msgspec.json.Decoder(_RowsOutput).decode,
    table=msgspec.json.Decoder(_TableOutput).decode,
    any=msgspec.json.Decoder().decode,
)


def encode_request(
    request: Request, limits: Limits = REQUEST_LIMITS, naive_zone: datetime.tzinfo | None = None
) -> bytes:
    """Encode a request; its nodes must be in topological order.

    ``naive_zone`` is the zone of naive datetimes at an end that has only naive datetimes (``USE_TZ = False``). They are
    sent as aware datetimes, and aware datetimes in the answer become naive (`decode_response`). Raises BadValue for a
    value that cannot cross the wire, and MessageTooLarge or MessageTooDeep for a message that every server would
    refuse.
    """
    if not _ID.fullmatch(request.id):
        raise BadValue(f"{request.id!r} cannot be a request's id: use letters, digits and . _ : - , at most 128.")
    index: dict[int, int] = {}
    pack = Packer(index, limits, naive_zone)
    nodes = []
    for position, node in enumerate(request.nodes):
        try:
            nodes.append(WRITERS[type(node)](pack, node))
        except WireError as error:
            error.node = position
            raise
        except RecursionError:
            raise too_deep(limits) from None
        except UnicodeEncodeError as error:
            raise _lone_surrogate(error) from None
        index[id(node)] = position
    message: dict[str, Any] = {"v": PROTOCOL_VERSION, "id": request.id}
    if request.client != ClientInfo():
        message["client"] = request.client
    if request.expires is not None:
        if not math.isfinite(request.expires):
            raise BadValue("'expires' is a finite number of seconds since the epoch.")
        message["expires"] = request.expires
    message["nodes"] = nodes
    message["outputs"] = request.outputs
    if request.shapes:
        message["shapes"] = request.shapes
    if request.trace:
        message["trace"] = True
    if request.asking:
        message["asking"] = request.asking
    if request.once:
        message["once"] = True
    if request.given:
        message["given"] = request.given
    if request.then:
        message["then"] = request.then
    if request.back is not None:
        message["back"] = request.back
    if request.zone not in ("", UTC):
        message["zone"] = request.zone
    if request.default_zone not in ("", request.zone or UTC):
        message["default_zone"] = request.default_zone
    if request.language.lower() not in ("", DEFAULT_LANGUAGE):
        message["language"] = request.language
    data = _encode(message)
    check_size(data, limits)
    check_depth(data, limits)
    return data


def _encode(message: Any) -> bytes:
    try:
        return _JSON.encode(message)
    except UnicodeEncodeError as error:
        raise _lone_surrogate(error) from None


def _lone_surrogate(error: UnicodeEncodeError) -> BadValue:
    around = error.object[max(0, error.start - 10) : error.end + 10]
    return BadValue(
        f"The text {around!r} holds half of a surrogate pair, which is no character: "
        "decode its bytes with the right encoding, or use bytes."
    )


#: Returns the values of the requests that other services answered for this request.
Fetch = Callable[[tuple[Origin, ...]], Sequence[Sequence[Any]]]


def decode_request(
    data: bytes,
    limits: Limits = REQUEST_LIMITS,
    fetch: Fetch | None = None,
    naive_zone: datetime.tzinfo | None = None,
    check: Callable[[], object] = lambda: None,
) -> Request:
    """Return the request in ``data``; raises a WireError, and no other error, for any bytes.

    ``fetch`` returns the values that other services sent for this request, and may raise other errors. ``check`` is
    called every few values. It may raise other errors too, to end a request after its deadline.
    """
    check_size(data, limits)
    check_depth(data, limits)
    try:
        form = _JSON.request(data)
    except _PARSER_ERRORS as error:
        raise _diagnose(data, error) from None
    except RecursionError:
        raise too_deep(limits) from None
    try:
        return _request(form, limits, fetch, naive_zone, check)
    except WireError as error:
        error.request_id = form.id if _ID.fullmatch(form.id) else None
        raise


def _request(
    form: _RequestForm,
    limits: Limits,
    fetch: Fetch | None,
    naive_zone: datetime.tzinfo | None,
    check: Callable[[], object],
) -> Request:
    _check_version(form.v)
    if not _ID.fullmatch(form.id):
        raise BadMessage("The id of a request is 1 to 128 letters, digits and . _ : -")
    for what, count, limit in (
        ("nodes", len(form.nodes), limits.nodes),
        ("outputs", len(form.outputs), limits.outputs),
    ):
        if count > limit:
            raise TooManyNodes(
                f"The message has {count:,} {what}; at most {limit:,} are allowed (limit {what!r}). Send it in parts."
            )
    if form.given and fetch is None:
        raise HandOverFailed("This service receives no values from other services: send the values with the request.")
    given_values = fetch(form.given) if form.given and fetch is not None else ()
    for zone in filter(None, (form.zone, form.default_zone)):
        read_zone(zone)
    nodes = _nodes(form.nodes, limits, given_values, naive_zone, check)
    _check_links(form)
    for output in form.outputs:
        if not 0 <= output < len(nodes):
            raise BadValue(f"Output {output} is not the index of one of the {len(nodes)} nodes.")
    try:
        for model, names in form.shapes.items():
            check_model(model)
            for name in names:
                check_identifier(name)
    except ValueError as error:
        raise BadValue(f"shapes: {error}") from None
    return Request(
        id=form.id,
        nodes=nodes,
        outputs=tuple(form.outputs),
        client=form.client,
        expires=form.expires,
        shapes=form.shapes,
        trace=form.trace,
        asking=form.asking,
        once=form.once,
        given=form.given,
        then=form.then,
        back=form.back,
        zone=form.zone,
        default_zone=form.default_zone,
        language=form.language,
    )


def _check_links(form: _RequestForm) -> None:
    """Raise BadValue for a 'then' or 'back' that names an output which does not exist."""
    if form.back is not None and not form.then:
        raise BadValue(
            "'back' selects the outputs for the client while 'then' sends others to services: it needs 'then'."
        )
    for places in (form.back or (), *(target.outputs for target in form.then)):
        if any(not 0 <= place < len(form.outputs) for place in places):
            raise BadValue(f"'then' and 'back' name places among the {len(form.outputs)} outputs.")


def request_content(data: bytes) -> bytes:
    """Return the content of a request, without its sender and time: equal for two deliveries of one request.

    ``data`` is a message that `decode_request` has accepted.

    >>> request_content(b'{"v":1,"id":"r1","expires":5,"nodes":[["source","shop.Order"]],"outputs":[0]}')
    b'[["source","shop.Order"]][0]{}'
    """
    form = _JSON.content(data)
    zones = b",".join(map(bytes, (form.zone, form.default_zone)))
    return b"".join([*map(bytes, (form.nodes, form.outputs, form.shapes)), zones if len(zones) > 1 else b""])


def _nodes(
    forms: list[Any],
    limits: Limits,
    given: Sequence[Sequence[Any]],
    naive_zone: datetime.tzinfo | None,
    check: Callable[[], object],
) -> tuple[Node, ...]:
    nodes: list[Node] = []
    unpack = Unpacker(nodes, limits, given, naive_zone, check)
    try:
        for form in forms:
            nodes.append(READERS[type(form)](unpack, form))
    except WireError as error:
        error.node = len(nodes)
        raise
    except RecursionError:
        raise too_deep(limits) from None
    except _VALUE_ERRORS as error:
        raise BadValue(f"Node {len(nodes)}: {error}", node=len(nodes)) from None
    return tuple(nodes)


def _check_version(version: Any) -> None:
    if version != PROTOCOL_VERSION:
        raise VersionMismatch(
            f"The message is of version {version!r} of the protocol; this end speaks version {PROTOCOL_VERSION}. "
            "Install the same major version of django_rpc at both ends."
        )


class _Head(msgspec.Struct):
    v: int
    id: str = ""
    nodes: list[msgspec.Raw] = []


def _first_bad(forms: list[msgspec.Raw], error: Exception) -> tuple[int | None, Exception]:
    """Return the position of the first malformed node, and the reason; the parser does not always report the node."""
    for position, form in enumerate(forms):
        try:
            msgspec.json.decode(form, type=AnyForm)
        except _PARSER_ERRORS as reason:
            return position, reason
    return None, error


def _kind(form: msgspec.Raw) -> Any:
    """Return the value in the position of a node's kind; None if there is no value."""
    try:
        parts = msgspec.json.decode(form, type=list[msgspec.Raw])
        return msgspec.json.decode(parts[0]) if parts else None
    except (*_PARSER_ERRORS, RecursionError):
        return None


def _diagnose(data: bytes, error: Exception) -> WireError:
    """Return an error that explains as exactly as possible why the typed parser refused ``data``."""
    try:
        head = msgspec.json.decode(data, type=_Head)
    except (*_PARSER_ERRORS, RecursionError):
        return BadMessage(f"This is no message of django_rpc: {error}. docs/protocol.md describes the form.")
    try:
        _check_version(head.v)
    except VersionMismatch as mismatch:
        mismatch.request_id = head.id if _ID.fullmatch(head.id) else None
        return mismatch
    request_id = head.id if _ID.fullmatch(head.id) else None
    node, error = _first_bad(head.nodes, error)
    if node is not None:
        kind = _kind(head.nodes[node])
        if not isinstance(kind, str) or kind not in KINDS:
            shown = repr(kind)[:60]
            return UnknownNode(
                f"{shown} is not a kind of node of this version; there are {', '.join(KINDS)}.",
                node=node,
                request_id=request_id,
            )
        return BadValue(
            f"Node {node} is not written as a {kind!r} node has to be: {error}.", node=node, request_id=request_id
        )
    return BadMessage(
        f"The message does not have the form described in docs/protocol.md: {error}.", request_id=request_id
    )


def encode_response(
    response: Response, limits: Limits = RESPONSE_LIMITS, naive_zone: datetime.tzinfo | None = None
) -> bytes:
    """Encode a response. Raises BadValue for an output that cannot cross the wire."""
    pack = Packer(limits=limits, naive_zone=naive_zone)
    message: dict[str, Any] = {"v": PROTOCOL_VERSION, "id": response.id}
    try:
        message["outputs"] = _outputs([pack(value) for value in response.outputs], limits)
        if response.error is not None:
            message["error"] = error_form(pack, response.error)
        refused = [error_form(pack, report) for report in response.refused]
    except RecursionError:
        raise too_deep(limits) from None
    except UnicodeEncodeError as error:
        raise _lone_surrogate(error) from None
    if response.trace:
        message["trace"] = [
            (entry.sql, entry.seconds) if entry.node is None else (entry.sql, entry.seconds, entry.node)
            for entry in response.trace
        ]
    if response.costs:
        message["costs"] = response.costs
    if refused:
        message["refused"] = refused
    if response.later:
        message["later"] = response.later
    if response.reads:
        message["reads"] = response.reads
    data = _encode(message)
    check_size(data, limits)
    return data


def _outputs(packed: list[Any], limits: Limits) -> list[Any]:
    """Encode several outputs separately, so that the limit applies before repeated large outputs use up the memory."""
    if len(packed) < 2:
        return packed
    left, written = limits.message_bytes, []
    for value in packed:
        written.append(msgspec.Raw(_encode(value)))
        left -= len(written[-1])
        if left < 0:
            raise too_large(limits.message_bytes - left, limits)
    return written


def decode_response(
    data: bytes, limits: Limits = RESPONSE_LIMITS, naive_zone: datetime.tzinfo | None = None
) -> Response:
    """Return the response in ``data``; raises a WireError, and no other error, for any bytes."""
    check_size(data, limits)
    unpack = Unpacker(limits=limits, naive_zone=naive_zone)
    try:
        form = _JSON.response(data)
        _check_version(form.v)
        outputs = tuple([_output(raw, unpack, limits) for raw in form.outputs])
        report = None if form.error is None else read_error(unpack, form.error)
        refused = tuple([read_error(unpack, refusal) for refusal in form.refused])
    except _PARSER_ERRORS as error:
        raise _diagnose(data, error) from None
    except RecursionError:
        raise too_deep(limits) from None
    except WireError:  # some are ValueErrors, too
        raise
    except _VALUE_ERRORS as error:
        raise BadValue(f"The response holds a value that cannot be read: {error}") from None
    return Response(
        id=form.id,
        outputs=outputs,
        error=report,
        trace=form.trace,
        costs=form.costs,
        refused=refused,
        later=form.later,
        reads=form.reads,
    )


def _output(raw: msgspec.Raw, unpack: Unpacker, limits: Limits) -> Any:
    """Decode one output. Rows in our encoding are parsed once, by the decoder of their types."""
    start = bytes(memoryview(raw)[:9])
    if start.startswith(b'{"$rows":'):
        rows = _JSON.rows(raw).body
        _check_header(rows.columns, rows.types)
        return RowSet(rows.columns, decode_rows(rows.types, rows.rows, unpack, limits))
    if start == b'{"$table"':
        table = _JSON.table(raw).body
        check_model(table.model)
        _check_header(table.fields, table.types)
        cells = decode_rows(table.types, table.rows, unpack, limits)
        return Table(table.model, table.fields, cells, read_parents(unpack, table.parents))
    return unpack(_JSON.any(raw))


def _check_header(names: tuple[str, ...], types: tuple[str, ...]) -> None:
    if len(names) != len(types):
        raise BadValue("Rows have one type for each column of their header.")
