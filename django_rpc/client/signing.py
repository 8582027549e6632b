"""Signatures of a client with a key: it signs requests, and checks that an answer is of the service and its request."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from django_rpc.errors import ForgedResponse, ImproperSettings, WireError
from django_rpc.transport.config import Config
from django_rpc.wire.codec import decode_response
from django_rpc.wire.messages import Origin

# PyJWT is imported only to sign. Most projects call services without a key.

__all__ = ["Signer", "signer_of"]

#: Code of the answer to an unknown client. The service cannot sign it, because it has no key of the client.
_REFUSAL = "RequestRefused"


class Signer:
    """Signer of the messages between one client and one service. Made by `signer_of`."""

    def __init__(self, config: Config) -> None:
        from django_rpc.wire import signing

        self._signing = signing
        self._config = config
        self.alias = config.alias
        self.client, self.service = _named(config, "client"), _named(config, "service")
        try:
            self.key = signing.read_key(config.key, config.key_id)
        except ValueError as error:
            raise ImproperSettings(f"DATABASES['{config.alias}']['KEY'] {error}") from None
        self.keys = {self.key.id: self.key} if self.key.algorithm == "HS256" else self._of_service(config)

    def _of_service(self, config: Config) -> Mapping[str, object]:
        where = f"DATABASES['{config.alias}']"
        if not self.key.signs:
            raise ImproperSettings(f"{where}['KEY'] is a public key; requests are signed with the private one.")
        if config.service_key is None:
            raise ImproperSettings(
                f"{where} has an Ed25519 KEY and no SERVICE_KEY: name the service's public key, by which its "
                "answers are checked. (With an HS256 secret both ends sign with it.)"
            )
        try:
            return self._signing.read_keys(config.service_key)
        except ValueError as error:
            raise ImproperSettings(f"{where}['SERVICE_KEY'] {error}") from None

    def sign(self, data: bytes, request_id: str, timeout: float | None) -> str:
        """Return the token that is sent with the request."""
        longest = self._signing.LIFETIME
        return self._signing.sign_request(
            data,
            self.key,
            client=self.client,
            service=self.service,
            request_id=request_id,
            lifetime=longest if timeout is None else min(timeout, longest),
        )

    def origin(self, request: bytes, request_id: str) -> Origin:
        """Return the data for another service to check that values are of this service and of this request."""
        public = self._config.service_key
        keys = {self._signing.DEFAULT_KEY_ID: public} if isinstance(public, str) else dict(public or {})
        hashed = self._signing.digest(request)
        return Origin(id=request_id, hash=hashed, client=self.client, service=self.service, keys=keys)

    def open(self, answer: bytes, request_id: str, request: bytes) -> bytes:
        """Return the response in ``answer``; raise ForgedResponse unless the service made it for this request."""
        token, data = self._signing.parted(answer)
        if token is None:
            if _is_refusal(data, request_id):
                return data
            raise ForgedResponse(f"The answer to request {request_id} is not signed. {self._advice()}")
        try:
            self._signing.open_response(
                token,
                data,
                self.keys,  # type: ignore[arg-type]  # narrower than mypy can tell
                client=self.client,
                service=self.service,
                request_id=request_id,
                request_hash=self._signing.digest(request),
            )
        except self._signing.NotAuthentic as error:
            raise ForgedResponse(
                f"The answer to request {request_id} is not of the service {self.service!r}: {error} {self._advice()}"
            ) from error
        return data

    def _advice(self) -> str:
        return (
            "Another program may have changed it during the transport, so the result of the request is unknown. "
            f"Check who can write to the RESULT_BACKEND of {self.alias!r}."
        )


def _is_refusal(data: bytes, request_id: str) -> bool:
    try:
        response = decode_response(data)
    except WireError:
        return False
    return response.id == request_id and response.error is not None and response.error.code == _REFUSAL


def _named(config: Config, attribute: str) -> str:
    value: str | None = getattr(config, attribute)
    if not value:
        raise ImproperSettings(
            f"DATABASES['{config.alias}'] has a KEY and no {attribute.upper()}: to sign, give CLIENT (the name "
            "by which the service knows this client), KEY, and SERVICE (the name in its DJANGO_RPC['SERVICE'])."
        )
    return value


@functools.lru_cache(maxsize=64)
def signer_of(config: Config) -> Signer | None:
    """Return the signer for these settings; None where they name no client. Raise ImproperSettings for a mistake."""
    if config.client is None and config.key is None:
        return None
    if config.key is None:
        raise ImproperSettings(f"DATABASES['{config.alias}'] has a CLIENT and no KEY to sign its requests with.")
    return Signer(config)
