"""Reply to a request: the messages to send, with their signatures."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from django_rpc.errors import HandOverFailed
from django_rpc.server.core.authenticate import Caller
from django_rpc.server.core.clients import Client
from django_rpc.wire.codec import encode_response
from django_rpc.wire.forwarding import Parts, part
from django_rpc.wire.messages import ErrorReport, HandOver, Request, Response
from django_rpc.wire.names import request_of

__all__ = ["Sending", "reply_id", "sealed_reply"]

_UNKNOWN_ID = "unknown"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Sending(NamedTuple):
    """Reply to a request, and values for other services.

    - ``answer`` is the encoded reply; None if the client receives none.
    - ``handed`` are the values for other messages of ``client``. After ``expires``, no service waits for them.
    - ``finish`` has to be called after everything was sent. From then on, the same message is refused. If the worker
      dies before, the broker delivers the message again. It must not be refused then, because the client may not have
      received a reply.
    """

    answer: bytes | None
    finish: Callable[[], None]
    handed: tuple[tuple[HandOver, bytes], ...] = ()
    expires: float | None = None
    client: Client | None = None


def sealed_reply(made: bytes, request: Request | None, caller: Caller) -> Sending:
    """Return the sealed reply for the client, and the sealed values for other services."""
    if request is None or not request.then:
        return Sending(caller.seal(made), caller.finish)
    parts, allowed = part(made, request.then, request.back), caller.client.limits.handed_bytes
    if sum(len(values) for _, values in parts.handed) > allowed:  # one output may be sent to many services
        message = f"The values for other services have more than {allowed:,} bytes (limit 'handed_bytes'). "
        too_large = ErrorReport(code=HandOverFailed.code, message=f"{message}Forward fewer rows or fields.")
        parts = Parts(encode_response(Response(id=request.id, error=too_large)))
    sealed = tuple([(target, caller.seal(values)) for target, values in parts.handed])
    back = None if parts.back is None else caller.seal(parts.back)
    return Sending(back, caller.finish, sealed, request.expires, caller.client)


def reply_id(request_id: str) -> str:
    """Return the id for a reply: the id of the broker's message if it has the form of an id."""
    return request_of(request_id) if _REQUEST_ID.fullmatch(request_id) else _UNKNOWN_ID
