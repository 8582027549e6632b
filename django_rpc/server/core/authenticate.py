"""Identification of the sender of a request, before any byte of its graph is read.

The sender gets the same answer (`REFUSAL`) for each problem of the token. Only the log has the problem.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from django_rpc.errors import ImproperSettings, RequestRefused
from django_rpc.server.core import nonces
from django_rpc.server.core.clients import ANONYMOUS, Client
from django_rpc.wire.messages import ErrorReport
from django_rpc.wire.names import request_of

if TYPE_CHECKING:
    from django_rpc.wire.signing import Claims, Key

__all__ = ["REFUSAL", "Caller", "Identity", "Refused", "authenticate", "identify"]

#: Answer to each request with a missing or invalid token.
REFUSAL = ErrorReport(
    code=RequestRefused.code,
    message="The service does not take this request: its signature is missing, or not good here and now. "
    "Compare CLIENT, KEY, KEY_ID and SERVICE with the service's settings, and the clocks.",
)


logger = logging.getLogger("django_rpc.server")


class Identity(Protocol):
    """Settings of the service that authentication needs: its clients, its name, its key, and the cache of tokens."""

    @property
    def clients(self) -> Mapping[str, Client]: ...

    @property
    def SERVICE(self) -> str: ...

    @property
    def service_key(self) -> Key | None: ...

    @property
    def cache(self) -> Any: ...


class Refused(Exception):
    """The request is not from a known client; the text is only for the log of the service."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Sender of a request: ``client``, proved by ``claims`` if the request was signed.

    ``again`` is True if a worker has begun the same message before and has not ended it.
    """

    client: Client
    settings: Identity
    claims: Claims | None = None
    again: bool = False

    def has_signed(self, request_id: str) -> bool:
        """Return True for an unsigned request, and for a request with the id that its token names."""
        return self.claims is None or self.claims.request_id == request_id

    def seal(self, answer: bytes) -> bytes:
        """Return ``answer``, signed if the request was signed."""
        if self.claims is None:
            return answer
        from django_rpc.wire.signing import sign_response

        key = self.claims.key if self.claims.key.algorithm == "HS256" else self.settings.service_key
        if key is None:  # a system check reports this at the start
            raise ImproperSettings("DJANGO_RPC has no KEY to sign answers to clients with Ed25519 keys.")
        return sign_response(answer, key, self.claims, service=self.settings.SERVICE)

    def finish(self) -> None:
        """Remember after the answer that the same message is not accepted again."""
        if self.claims is None:
            return
        try:
            nonces.end(self.settings.cache, self.claims)
        except Exception:  # each cache has its errors; the request was executed, and its answer must not be lost
            logger.exception("A used token could not be noted; it stays noted as begun")


def identify(message: bytes, token: Any, settings: Identity, request_id: str = "") -> Caller:
    """Return the sender of ``message``; ``request_id`` is the id of the broker's message. Raises Refused."""
    clients = settings.clients
    if token is None:
        if ANONYMOUS not in clients:
            raise Refused("it is not signed.")
        return Caller(clients[ANONYMOUS], settings)
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
    return Caller(clients[claims.client], settings, claims)


def authenticate(message: bytes, token: Any, settings: Identity, request_id: str = "") -> Caller:
    """Return the sender as `identify` does; refuse a token that was used before."""
    caller = identify(message, token, settings, request_id)
    if caller.claims is None:
        return caller
    again = nonces.begin(settings.cache, caller.claims)
    if again is None:
        raise Refused("it is a replay.")
    return Caller(caller.client, settings, caller.claims, again)
