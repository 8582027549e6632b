"""Who sent a request, found out before a byte of its graph is read.

Whatever is wrong with a request's token, its sender is told the same (`REFUSAL`), and the log what it was.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured

from django_rpc.errors import RequestRefused
from django_rpc.server.conf import settings
from django_rpc.server.core import nonces as replays
from django_rpc.server.core.clients import ANONYMOUS, Client
from django_rpc.wire.messages import ErrorReport
from django_rpc.wire.names import request_of

if TYPE_CHECKING:
    from django_rpc.wire.signing import Claims

__all__ = ["REFUSAL", "Caller", "Refused", "authenticate", "identify"]

#: The one answer to every request that is refused for what its token is or is not.
REFUSAL = ErrorReport(
    code=RequestRefused.code,
    message="The service does not take this request: its signature is missing, or not good here and now. "
    "Compare CLIENT, KEY, KEY_ID and SERVICE with the service's settings, and the clocks.",
)


logger = logging.getLogger("django_rpc.server")


class Refused(Exception):
    """The request is not one of a known client; the text is for the service's own log."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: ``client``, proved by ``claims`` where it was signed.

    ``again``: a worker has begun the very same message before, and has not come to its end.
    """

    client: Client
    claims: Claims | None = None
    again: bool = False

    def seal(self, answer: bytes) -> bytes:
        """``answer``, signed for this request where that was signed."""
        if self.claims is None:
            return answer
        from django_rpc.wire.signing import sign_response

        key = self.claims.key if self.claims.key.algorithm == "HS256" else settings.service_key
        if key is None:  # a system check says so at the start
            raise ImproperlyConfigured("DJANGO_RPC has no KEY to sign answers to clients with Ed25519 keys.")
        return sign_response(answer, key, self.claims, service=settings.SERVICE)

    def finish(self) -> None:
        """The answer is made: the same message is not taken again."""
        if self.claims is None:
            return
        try:
            replays.end(self.claims)
        except Exception:  # whatever a cache raises; what was done is done, and its answer is not to be lost
            logger.exception("A used token could not be noted; it stays noted as begun")


def identify(message: bytes, token: Any, request_id: str = "") -> Caller:
    """Who sent ``message``; ``request_id`` is the id on its envelope.  Raises Refused."""
    clients = settings.clients
    if token is None:
        if ANONYMOUS not in clients:
            raise Refused("it is not signed.")
        return Caller(clients[ANONYMOUS])
    keys = {name: client.keys for name, client in clients.items() if client.keys}
    if not keys:
        raise Refused("it is signed, and DJANGO_RPC['CLIENTS'] has no keys to check it by.")
    from django_rpc.wire.signing import NotAuthentic, digest, open_request

    try:
        claims = open_request(token, keys, service=settings.SERVICE)
    except NotAuthentic as error:
        raise Refused(str(error)) from error
    if claims.hash != digest(message):
        raise Refused("it is not the message that was signed.")
    if request_id and request_of(request_id) != claims.request_id:
        raise Refused("its envelope has the id of another request.")
    return Caller(clients[claims.client], claims)


def authenticate(message: bytes, token: Any, request_id: str = "") -> Caller:
    """`identify`, for a request that is to be answered: one whose token was used before is refused."""
    caller = identify(message, token, request_id)
    if caller.claims is None:
        return caller
    again = replays.begin(caller.claims)
    if again is None:
        raise Refused("it is a replay.")
    return Caller(caller.client, caller.claims, again)
