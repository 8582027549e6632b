"""Authentication of messages: a token (JWT, RFC 7519) over the hash of a message, sent next to the message.

The algorithm is a property of a key, never of a token. The form of a key's text determines its type: an HS256 secret or
an Ed25519 key. A token is verified with the algorithm of the key that it names.

>>> key = read_key("a secret of thirty-two bytes or more")
>>> token = sign_request(b"{}", key, client="shop", service="stock", request_id="r1", lifetime=30)
>>> open_request(token, {"shop": {key.id: key}}, service="stock").client
'shop'
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import hmac
import re
import secrets
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

#: The id of a key without an id.
DEFAULT_KEY_ID = "default"
#: Maximum difference between the clocks of client and server, in seconds.
CLOCK_SKEW = 60
#: Maximum lifetime of a token, in seconds; a server must remember the token for this time.
LIFETIME = 86_400
#: Longer tokens are not parsed; no honest token is longer.
_TOKEN_BYTES = 4_096
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
#: A secret shorter than the hash is easier to guess than the hash.
_SECRET_BYTES = 32
_PEM = ("-----BEGIN", "ssh-")
_Text = Annotated[str, msgspec.Meta(max_length=512)]
#: Seconds since the epoch, limited to plausible years.
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=4e10)]
# The type of a token: a request's token must not be accepted for a response, although both may have the same secret.
_REQUEST, _RESPONSE = "rpc-request+jwt", "rpc-response+jwt"
_REQUIRED = ["iss", "aud", "jti"]


class NotAuthentic(Exception):
    """A token or its message is not authentic. The text is for the log of this end, not for the other end."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key with its id and its only algorithm; made by `read_key`."""

    id: str
    algorithm: str
    value: Any = field(repr=False)
    #: False for a public key, which cannot sign.
    signs: bool = True


@dataclass(frozen=True, slots=True)
class Claims:
    """The verified claims of a request's token: ``hash`` identifies the request, ``unique`` the token itself."""

    client: str
    request_id: str
    hash: str
    expires: float
    key: Key
    unique: str


def read_key(text: Any, key_id: str = DEFAULT_KEY_ID) -> Key:
    """Read a key: Ed25519 in PEM or SSH form, or else an HS256 secret of at least 32 bytes.

    Raises ValueError; its text does not contain the key.
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


def read_keys(texts: Any) -> dict[str, Key]:
    """Return keys by their ids, from a dict of texts or from one text; raises ValueError."""
    if isinstance(texts, str):
        texts = {DEFAULT_KEY_ID: texts}
    if not isinstance(texts, Mapping) or not texts:
        raise ValueError('has to be a dict of keys by their ids, such as {"2026-01": "..."}.')
    keys = {}
    for key_id, text in texts.items():
        try:
            keys[str(key_id)] = read_key(text, str(key_id))
        except ValueError as error:
            raise ValueError(f"[{key_id!r}] {error}") from None
    return keys


def digest(data: bytes) -> str:
    """Return the hash of a message's exact bytes, in the form that tokens contain.

    >>> digest(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(data).hexdigest()


# Requests


def sign_request(
    data: bytes, key: Key, *, client: str, service: str, request_id: str, lifetime: float, now: float | None = None
) -> str:
    """Return the token for the request ``data``, valid for ``lifetime`` seconds."""
    now = time.time() if now is None else now
    claims = {"iss": client, "aud": service, "iat": now, "exp": now + lifetime, "jti": request_id, "hash": digest(data)}
    return _sign(claims, key, _REQUEST)


def open_request(token: Any, keys: Mapping[str, Mapping[str, Key]], *, service: str) -> Claims:
    """Verify a request's token with ``keys`` (by client and id) and return its claims; raises NotAuthentic.

    The caller must also check the bytes of the request (`Claims.hash`), and that the token has not been used before
    (`Claims.unique`).
    """
    header, unverified = _unchecked(token)
    client, key_id = unverified.iss, header.kid
    key = keys.get(client, {}).get(key_id)
    if key is None or key.algorithm != header.alg:
        # The same verification as with a known key: the time does not reveal which names exist.
        with contextlib.suppress(NotAuthentic):
            _checked(token, _decoy(header.alg), [*_REQUIRED, "iat", "exp"], audience=service, typ=_REQUEST)
        raise NotAuthentic("it names a client, a key or an algorithm that is not known.")
    claims = _checked(token, key, [*_REQUIRED, "iat", "exp"], audience=service, typ=_REQUEST)
    lifetime = claims["exp"] - claims["iat"]
    if not 0 < lifetime <= LIFETIME + CLOCK_SKEW:
        raise NotAuthentic(f"it is good for {lifetime} s; at most {LIFETIME} are allowed.")
    signed = token.rpartition(".")[0].encode()  # one signature has several spellings, the signed text has one
    return Claims(client, claims["jti"], claims["hash"], float(claims["exp"]), key, digest(signed))


# Responses


def sign_response(data: bytes, key: Key, claims: Claims, *, service: str) -> bytes:
    """Return the response ``data`` after its token, which is bound to the request of ``claims``."""
    response_claims = {
        "iss": service,
        "aud": claims.client,
        "jti": claims.request_id,
        "request": claims.hash,
        "hash": digest(data),
    }
    return _sign(response_claims, key, _RESPONSE).encode() + b"\n" + data


def parted(answer: bytes) -> tuple[str | None, bytes]:
    r"""Split an answer into its token, or None, and the response.

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
    """Raise NotAuthentic unless ``service`` sent ``data`` as the answer to this request (its id, and `digest`)."""
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
    """The header of a token. Other fields are refused, such as a key (``jwk``, ``x5c``) or an extension (``crit``)."""

    alg: _Text
    typ: _Text
    kid: _Text = ""


class _Said(msgspec.Struct, forbid_unknown_fields=True):
    """The claims of both types of tokens."""

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
    """Return header and claims of a token, with validated types. Nothing is verified yet."""
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


def _decoy(algorithm: str) -> Key:
    """Return a random key, so that no token is accepted; an unknown algorithm has the key of HS256."""
    return (_random_ed25519() if algorithm == "EdDSA" else None) or _RANDOM


_RANDOM = Key("", "HS256", secrets.token_bytes(_SECRET_BYTES))


@functools.cache
def _random_ed25519() -> Key | None:
    """Return a new public key; None without the package, where no client has such a key."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError:
        return None
    return Key("", "EdDSA", Ed25519PrivateKey.generate().public_key(), signs=False)
