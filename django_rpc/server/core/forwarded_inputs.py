"""Values that other services forward to a request: check of their origin and content, before any of them is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.apps import apps

from django_rpc.errors import HandOverFailed
from django_rpc.graph.values import Record, Reference
from django_rpc.graph.walk import DATA, map_leaves
from django_rpc.server.core.locale import naive_zone
from django_rpc.server.django_compat import key_fields
from django_rpc.wire.forwarding import decode_handed, handed_content
from django_rpc.wire.limits import Limits, check_size
from django_rpc.wire.messages import Origin

__all__ = ["FetchForwarded", "VerifiedInputs"]

#: Returns the values that were forwarded to one message, by the ids of the requests in its argument.
FetchForwarded = Callable[[Sequence[str]], Mapping[str, bytes]]


class VerifiedInputs:
    """Forwarded values that replace the results of other requests, for `wire.codec.decode_request`.

    The codec calls this object only for a message that names other requests, after its sender was authenticated.
    ``data`` are the bytes of the forwarded values.  When the ledger compares two requests, these bytes are part of the
    content, as the message is.
    """

    def __init__(self, message: bytes, message_id: str, limits: Limits, box: FetchForwarded | None) -> None:
        self._message = message
        self._message_id = message_id
        self._limits = limits
        self._box = box
        self.data = b""

    def __call__(self, origins: Sequence[Origin]) -> list[list[Any]]:
        """Return the values of each origin.

        Raises HandOverFailed for values that are missing or not authentic, and another WireError for invalid data.
        """
        found = self._box([origin.id for origin in origins]) if self._box is not None else {}
        parts = [_authentic(origin, found.get(origin.id)) for origin in origins]
        # The message and the forwarded values together have the limit of a message.
        check_size(b"".join([self._message, *parts]), self._limits)
        values = [
            [as_argument(value) for value in decode_handed(part, self._message_id, self._limits, naive_zone())]
            for part in parts
        ]
        self.data = b"\n".join(map(handed_content, parts))
        return values


def _authentic(origin: Origin, given: bytes | None) -> bytes:
    """Return the values of ``origin`` after the check of their signature."""
    if given is None:
        raise HandOverFailed(
            f"The values of request {origin.id} were not handed over, or have expired. Do all services use one "
            "Redis as RESULT_BACKEND?"
        )
    if given[:1] == b"{" and not origin.keys:
        return given  # from a service that does not sign for this client; clients accept its unsigned replies, too
    from django_rpc.wire import signing  # imported only if there are keys

    token, data = signing.parted(given)
    if not origin.keys:
        return data
    try:
        keys = signing.read_keys(dict(origin.keys))
        if any(key.algorithm != "EdDSA" for key in keys.values()):
            raise HandOverFailed("What is handed over is checked by the public Ed25519 key of its service alone.")
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
            f"What was handed over for request {origin.id} is not what the service {origin.service!r} made: {error}"
        ) from None
    return data


def as_argument(value: Any) -> Any:
    """Return a value as a client would send it: an instance becomes a reference to it."""
    return map_leaves(value, lambda leaf: Reference(leaf.model, _key(leaf)) if type(leaf) is Record else leaf, DATA)


def _key(record: Record) -> Any:
    """Return the primary key in a record; None if the record has no key, or this service does not have the model."""
    try:
        model = apps.get_model(record.model)
    except (LookupError, ValueError):
        return None
    values = dict(zip(record.fields, record.values, strict=True))
    key = tuple([values.get(part.attname) for part in key_fields(model)])
    return None if None in key else key if len(key) > 1 else key[0]
