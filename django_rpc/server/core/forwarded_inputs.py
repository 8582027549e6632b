"""Values that other services forward to a request: check of their origin and content, before any of them is used."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django_rpc.errors import HandOverFailed
from django_rpc.graph.values import ATOMS, Record, Reference
from django_rpc.wire.forwarding import decode_handed, handed_content
from django_rpc.wire.limits import Limits, check_size
from django_rpc.wire.messages import Origin

__all__ = ["FetchForwarded", "VerifiedInputs"]

#: Returns the values that were forwarded to one message, by the ids of the requests in its argument.
FetchForwarded = Callable[[Sequence[str]], Mapping[str, bytes]]


class VerifiedInputs:
    """Forwarded values that replace the results of other requests, for `wire.codec.decode_request`.

    The codec calls this object only for a message that names other requests, after its sender was authenticated.
    ``data`` are the bytes of the forwarded values. When the ledger compares two requests, these bytes are part of the
    content, as the message is.

    ``naive_zone`` is the zone of the service's naive datetimes. ``primary_key`` returns the key of an instance.
    """

    def __init__(
        self,
        message: bytes,
        message_id: str,
        limits: Limits,
        fetch: FetchForwarded | None,
        naive_zone: datetime.tzinfo | None,
        primary_key: Callable[[Record], Any],
    ) -> None:
        self._message = message
        self._message_id = message_id
        self._limits = limits
        self._fetch = fetch
        self._naive_zone = naive_zone
        self._primary_key = primary_key
        self.data = b""

    def __call__(self, origins: Sequence[Origin]) -> list[list[Any]]:
        """Return the values of each origin.

        Raises HandOverFailed for values that are missing or not authentic, and another WireError for invalid data.
        """
        forwarded = self._fetch([origin.id for origin in origins]) if self._fetch is not None else {}
        parts = [_authentic(origin, forwarded.get(origin.id)) for origin in origins]
        # The message and the forwarded values together have the limit of a message.
        check_size(b"".join([self._message, *parts]), self._limits)
        values = [
            [
                self._as_argument(value)
                for value in decode_handed(part, self._message_id, self._limits, self._naive_zone)
            ]
            for part in parts
        ]
        self.data = b"\n".join(map(handed_content, parts))
        return values

    def _as_argument(self, value: Any) -> Any:
        """Return a value as a client would send it: an instance becomes a reference to it."""
        kind = type(value)
        if kind is Record:
            return Reference(value.model, self._primary_key(value))
        if kind in (list, tuple, set, frozenset):
            return value if ATOMS.issuperset(map(type, value)) else kind(map(self._as_argument, value))
        if kind is dict:
            return {self._as_argument(key): self._as_argument(item) for key, item in value.items()}
        return value


def _authentic(origin: Origin, sealed: bytes | None) -> bytes:
    """Return the values of ``origin`` after the check of their signature."""
    if sealed is None:
        raise HandOverFailed(
            f"The values of request {origin.id} were not forwarded, or have expired. Do all services use one "
            "Redis as RESULT_BACKEND?"
        )
    if sealed[:1] == b"{" and not origin.keys:
        return sealed  # from a service that does not sign for this client; clients accept its unsigned replies, too
    from django_rpc.wire import signing  # imported only if there are keys

    token, data = signing.parted(sealed)
    if not origin.keys:
        return data
    try:
        keys = signing.read_keys(dict(origin.keys))
        if any(key.algorithm != "EdDSA" for key in keys.values()):
            raise HandOverFailed("Forwarded values are checked by the public Ed25519 key of their service only.")
        signing.open_response(
            token or "",
            data,
            keys,
            client=origin.client,
            service=origin.service,
            request_id=origin.id,
            request_hash=origin.hash,
        )
    except (ValueError, signing.NotAuthentic) as error:
        raise HandOverFailed(
            f"The values that were forwarded for request {origin.id} are not of the service {origin.service!r}: {error}"
        ) from None
    return data
