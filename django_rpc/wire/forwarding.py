"""Values that one service sends to another: the parts of its answer, and the message that waits for them.

A service encodes one answer with all outputs, and then divides the bytes of the answer. So it can also divide an answer
that was stored in a ledger.

>>> answer = b'{"v":1,"id":"a1","outputs":[[1,2],3]}'
>>> parts = part(answer, (HandOver("b1", "stock", 1, (0,)),), (1,))
>>> parts.back
b'{"v":1,"id":"a1","outputs":[3]}'
>>> [data for _, data in parts.handed]
[b'{"v":1,"id":"b1","outputs":[[1,2]]}']
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple

import msgspec

from django_rpc.errors import BadValue, HandOverFailed
from django_rpc.graph.values import ATOMS, NamedRow, Record, Reference, RowSet, Table
from django_rpc.graph.walk import DATA, map_leaves
from django_rpc.wire.codec import decode_response
from django_rpc.wire.limits import Limits, check_depth
from django_rpc.wire.messages import PROTOCOL_VERSION, HandOver

__all__ = ["Deposit", "Parts", "decode_deposit", "decode_handed", "encode_deposit", "handed_content", "part"]

_ERROR = b'{"$error":'


_HeaderName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")]
_HeaderText = Annotated[str, msgspec.Meta(max_length=8192)]


class Parts(NamedTuple):
    """``back`` is the answer for the client, or None for no answer; ``handed`` are the values for other messages."""

    back: bytes | None
    handed: tuple[tuple[HandOver, bytes], ...] = ()


class Deposit(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A waiting message: the text of the request, its token, and the time after which the client no longer waits.

    ``headers`` are sent with it, for example the headers of its trace.
    """

    text: str
    token: str | None = None
    expires: float | None = None
    headers: Annotated[dict[_HeaderName, _HeaderText], msgspec.Meta(max_length=64)] = {}


class _Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A response with undecoded values."""

    v: int
    id: str
    outputs: list[msgspec.Raw]
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    trace: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    costs: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _ErrorOutput(msgspec.Struct, frozen=True):
    body: msgspec.Raw = msgspec.field(name="$error")


_read = msgspec.json.Decoder(_Answer).decode
_read_error = msgspec.json.Decoder(_ErrorOutput).decode
_read_deposit = msgspec.json.Decoder(Deposit).decode
_write = msgspec.json.Encoder().encode


def part(answer: bytes, then: Iterable[HandOver], back: tuple[int, ...] | None) -> Parts:
    """Divide an answer of this service. An answer with an error is sent to the client, and no values to other messages.
    An error among the outputs for another message has the same effect."""
    form = _read(answer)
    if form.error is not msgspec.UNSET:
        return Parts(answer)
    outgoing = []
    for target in then:
        outputs = [form.outputs[place] for place in target.outputs]
        failed = next((raw for raw in outputs if bytes(memoryview(raw)[: len(_ERROR)]) == _ERROR), None)
        if failed is not None:
            return Parts(_write(_Answer(v=form.v, id=form.id, outputs=[], error=_read_error(failed).body)))
        outgoing.append((target, _write(_Answer(v=PROTOCOL_VERSION, id=target.to, outputs=outputs))))
    if back is None:
        return Parts(None, tuple(outgoing))
    remaining = msgspec.structs.replace(form, outputs=[form.outputs[place] for place in back])
    return Parts(_write(remaining), tuple(outgoing))


def handed_content(data: bytes) -> bytes:
    """Return the values that a service sent, without the id of their message: equal for two deliveries of one request.

    ``data`` must have been accepted by `decode_handed`.

    >>> handed_content(b'{"v":1,"id":"b1","outputs":[[1,2],3]}')
    b'[[1,2],3]'
    """
    return _write(_read(data).outputs)


def decode_handed(data: bytes, message_id: str, limits: Limits, naive_zone: datetime.tzinfo | None = None) -> list[Any]:
    """Return the values that a service sent to the message: plain data, and nothing that would be executed.

    Raises a WireError, and no other error, for any bytes. Rows become lists, and instances stay `Record`.
    """
    check_depth(data, limits)
    response = decode_response(data, limits, naive_zone)
    if response.id != message_id or response.error is not None:
        raise HandOverFailed("The values from another service are not for this message.")
    return [_as_data(value) for value in response.outputs]


def _as_data(value: Any) -> Any:
    kind = type(value)
    if kind in ATOMS:
        return value
    if kind is RowSet:
        return [_as_data(row) for row in value.rows]
    if kind is Table:
        return [Record(value.model, value.fields, _as_data(row)) for row in value.rows]
    if kind is Record:
        return Record(value.model, value.fields, _as_data(value.values))
    if kind is NamedRow:
        return tuple(map(_as_data, value.values))
    if kind is Reference:
        return value
    if kind in DATA:
        return map_leaves(value, _as_data, DATA)
    raise BadValue(f"A service may send only data to another service, and no {kind.__name__}.")


def encode_deposit(deposit: Deposit) -> bytes:
    return _write(deposit)


def decode_deposit(data: bytes) -> Deposit:
    """Decode a deposit; raises HandOverFailed for malformed bytes."""
    try:
        return _read_deposit(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise HandOverFailed(f"The message that waited for this service's values cannot be read: {error}") from None
