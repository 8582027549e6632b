"""Who made these bytes, and for whom: a token (JWT, RFC 7519) over the hash of a message, carried beside it.

The algorithm is a property of a key, never of a token: a key is an HS256 secret or an Ed25519 key by the form in which
it is written, and a token is checked by the algorithm of the key that it names.

>>> key = read_key("a secret of thirty-two bytes or more")
>>> token = sign_request(b"{}", key, client="shop", service="stock", request_id="r1", lifetime=30)
>>> open_request(token, {"shop": {key.id: key}}, service="stock").client
'shop'
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import jwt
import msgspec

__all__ = [
    "CLOCK_SKEW",
    "DEFAULT_KEY_ID",
    "LIFETIME",
    "Claims",
    "Key",
    "NotAuthentic",
    "digest",
    "open_request",
    "open_response",
    "parted",
    "read_key",
    "read_keys",
    "sign_request",
    "sign_response",
]

#: The id of a key that is given without one.
DEFAULT_KEY_ID = "default"
#: How far the clocks of the two ends may be apart, in seconds.
CLOCK_SKEW = 60
#: The longest time for which a token is good, in seconds: a server has to remember it for so long.
LIFETIME = 86_400
#: No honest token is longer; what is, is not parsed.
_TOKEN_BYTES = 4_096
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
#: A secret shorter than the hash is easier to guess than the hash.
_SECRET_BYTES = 32
_PEM = ("-----BEGIN", "ssh-")
_Text = Annotated[str, msgspec.Meta(max_length=512)]
#: Seconds since the epoch, of years that a clock knows.
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=4e10)]
# What a token is for: one of a request must not pass as one of a response, which the same secret signs.
_REQUEST, _RESPONSE = "rpc-request+jwt", "rpc-response+jwt"
_REQUIRED = ["iss", "aud", "jti"]


class NotAuthentic(Exception):
    """A token or what it covers is not what it claims to be; the text is for the log of this end, not for the other."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key with its id and its one algorithm; made by `read_key`."""

    id: str
    algorithm: str
    value: Any = field(repr=False)
    #: Whether it can sign: a public key cannot.
    signs: bool = True


@dataclass(frozen=True, slots=True)
class Claims:
    """What a checked token of a request says: ``hash`` of the request, ``unique`` of the token itself."""

    client: str
    request_id: str
    hash: str
    expires: float
    key: Key
    unique: str


def read_key(text: Any, key_id: str = DEFAULT_KEY_ID) -> Key:
    """The key in ``text``: Ed25519 where it is in PEM or SSH form, otherwise an HS256 secret of 32 bytes or more.

    Raises ValueError, whose text does not hold the key.
    """
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"is {type(text).__name__}: a key is the text of a secret, or of an Ed25519 key in PEM form.")
    if text.lstrip().startswith(_PEM):
        return _ed25519(text.strip(), key_id)
    secret = text.encode()
    if len(secret) < _SECRET_BYTES:
        raise ValueError(
            f"is a secret of {len(secret)} bytes; at least {_SECRET_BYTES} are needed. Make one: "
            'python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    return Key(key_id, "HS256", secret)


def _ed25519(text: str, key_id: str) -> Key:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    except ImportError:
        raise ValueError("is an Ed25519 key, which needs a package: pip install 'django-rpc[eddsa]'.") from None
    data = text.encode()
    try:
        value: Any
        if text.startswith("ssh-"):
            value = serialization.load_ssh_public_key(data)
        elif "PRIVATE KEY-----" in text.partition("\n")[0]:
            value = serialization.load_pem_private_key(data, password=None)
        else:
            value = serialization.load_pem_public_key(data)
    except Exception as error:  # noqa: BLE001 - the library's own text may hold parts of a key
        raise ValueError(f"cannot be read as a key in PEM or SSH form ({type(error).__name__}).") from None
    if not isinstance(value, Ed25519PrivateKey | Ed25519PublicKey):
        raise ValueError(f"is of type {type(value).__name__}; only Ed25519 keys and HS256 secrets are used.")
    return Key(key_id, "EdDSA", value, signs=isinstance(value, Ed25519PrivateKey))


def read_keys(given: Any) -> dict[str, Key]:
    """Keys by their ids from a dict of texts, or from one text; raises ValueError."""
    if isinstance(given, str):
        given = {DEFAULT_KEY_ID: given}
    if not isinstance(given, Mapping) or not given:
        raise ValueError('has to be a dict of keys by their ids, such as {"2026-01": "..."}.')
    keys = {}
    for key_id, text in given.items():
        try:
            keys[str(key_id)] = read_key(text, str(key_id))
        except ValueError as error:
            raise ValueError(f"[{key_id!r}] {error}") from None
    return keys


def digest(data: bytes) -> str:
    """The hash of a message's exact bytes, as tokens hold it.

    >>> digest(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(data).hexdigest()


# Requests


def sign_request(
    data: bytes, key: Key, *, client: str, service: str, request_id: str, lifetime: float, now: float | None = None
) -> str:
    """The token for the request ``data``, good for ``lifetime`` seconds."""
    now = time.time() if now is None else now
    claims = {"iss": client, "aud": service, "iat": now, "exp": now + lifetime, "jti": request_id, "hash": digest(data)}
    return _sign(claims, key, _REQUEST)


def open_request(token: Any, keys: Mapping[str, Mapping[str, Key]], *, service: str) -> Claims:
    """What the token of a request says, checked by one of ``keys`` (by client and id); raises NotAuthentic.

    Not checked is what needs more than the token: the bytes of the request (`Claims.hash`), and whether the token
    was used before (`Claims.unique`).
    """
    header, said = _unchecked(token)
    client, key_id = said.iss, header.kid
    found = keys.get(client, {}).get(key_id)
    # With no key of that name a signature is checked all the same: a wrong name must not take another time.
    claims = _checked(token, found or _NOBODY, [*_REQUIRED, "iat", "exp"], audience=service, typ=_REQUEST)
    if found is None:
        raise NotAuthentic("it names a client or a key that is not known.")
    lifetime = claims["exp"] - claims["iat"]
    if not 0 < lifetime <= LIFETIME + CLOCK_SKEW:
        raise NotAuthentic(f"it is good for {lifetime} s; at most {LIFETIME} are allowed.")
    signed = token.rpartition(".")[0].encode()  # a signature can be spelt in several ways, what it covers cannot
    return Claims(client, claims["jti"], claims["hash"], float(claims["exp"]), found, digest(signed))


# Responses


def sign_response(data: bytes, key: Key, claims: Claims, *, service: str) -> bytes:
    """The response ``data`` with its token before it, bound to the request of ``claims``."""
    said = {
        "iss": service,
        "aud": claims.client,
        "jti": claims.request_id,
        "request": claims.hash,
        "hash": digest(data),
    }
    return _sign(said, key, _RESPONSE).encode() + b"\n" + data


def parted(answer: bytes) -> tuple[str | None, bytes]:
    r"""An answer as its token, None where it has none, and the response.

    >>> parted(b"a.b.c\n{}"), parted(b"{}")
    (('a.b.c', b'{}'), (None, b'{}'))
    """
    if answer[:1] == b"{":
        return None, answer
    token, _, data = answer.partition(b"\n")
    return token.decode("ascii", "replace"), data


def open_response(
    token: str, data: bytes, keys: Mapping[str, Key], *, client: str, service: str, request_id: str, request_hash: str
) -> None:
    """Raise NotAuthentic unless ``service`` gave ``data`` as the answer to this request (its id, and `digest`)."""
    header, _ = _unchecked(token)
    key = keys.get(header.kid)
    if key is None:
        raise NotAuthentic(f"It is signed with the key {header.kid!r}; known are {', '.join(keys)}.")
    claims = _checked(token, key, [*_REQUIRED, "request"], audience=client, typ=_RESPONSE)
    if claims["iss"] != service or claims["jti"] != request_id or claims["request"] != request_hash:
        raise NotAuthentic("It is the answer to another request, or of another service.")
    if not hmac.compare_digest(claims["hash"], digest(data)):
        raise NotAuthentic("It is not as the service signed it.")


# Both


def _sign(claims: dict[str, Any], key: Key, typ: str) -> str:
    return jwt.encode(claims, key.value, algorithm=key.algorithm, headers={"kid": key.id, "typ": typ})


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    """The header of a token.  A key in it (``jwk``, ``x5c``), an extension (``crit``) or a part left out is unknown."""

    alg: _Text
    typ: _Text
    kid: _Text = ""


class _Said(msgspec.Struct, forbid_unknown_fields=True):
    """The claims of a token of either type, with their types."""

    iss: _Text
    aud: _Text
    jti: _Text
    hash: _Text
    request: _Text = ""
    iat: _Seconds | None = None
    exp: _Seconds | None = None


_read_header = msgspec.json.Decoder(_Header).decode
_read_claims = msgspec.json.Decoder(_Said).decode


def _unchecked(token: Any) -> tuple[_Header, _Said]:
    """Return header and claims of a token, of which nothing is true yet; every one is of its type."""
    if not isinstance(token, str) or len(token) > _TOKEN_BYTES or not _TOKEN.fullmatch(token):
        raise NotAuthentic("the token is not three parts in base64url, or too long.")
    parts = token.split(".")
    try:
        return _read_header(_unpacked(parts[0])), _read_claims(_unpacked(parts[1]))
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise NotAuthentic(f"the token cannot be read ({type(error).__name__}).") from error


def _unpacked(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _checked(token: str, key: Key, required: list[str], *, audience: str, typ: str) -> dict[str, Any]:
    try:
        parts = jwt.decode_complete(
            token,
            key.value,
            algorithms=[key.algorithm],
            audience=audience,
            leeway=CLOCK_SKEW,
            options={"require": required},
        )
    except Exception as error:
        raise NotAuthentic(f"{type(error).__name__}: {error}") from error
    claims: dict[str, Any] = parts["payload"]
    if parts["header"].get("typ") != typ:
        raise NotAuthentic(f"the token is of type {parts['header'].get('typ')!r}, not {typ!r}.")
    return claims


#: Stands in for the key of a client that there is not.
_NOBODY = Key("", "HS256", hashlib.sha256(b"nobody").digest())
