"""Keys and tokens: accepted keys, checks, and refused tokens."""

from __future__ import annotations

import base64
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from django_rpc.wire import signing
from django_rpc.wire.signing import NotAuthentic, digest, open_request, open_response, parted, read_key, read_keys

SECRET = "s" * 32
DATA = b'{"v":1}'


def pem_pair(private=None):
    private = private or ed25519.Ed25519PrivateKey.generate()
    return (
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        private.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    )


PRIVATE, PUBLIC = pem_pair()
KEYS = {"shop": {"old": read_key("o" * 32, "old"), "new": read_key(SECRET, "new"), "ed": read_key(PUBLIC, "ed")}}


def token(key=KEYS["shop"]["new"], *, header=None, client="shop", **changes):
    """The token of an honest client, or with these claims changed."""
    now = time.time()
    claims = {"iss": client, "aud": "stock", "iat": now, "exp": now + 30, "jti": "r1", "hash": digest(DATA), **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(
        claims, key.value, algorithm=key.algorithm, headers={"kid": key.id, "typ": "rpc-request+jwt", **(header or {})}
    )


def opened(text):
    return open_request(text, KEYS, service="stock")


@pytest.mark.parametrize("key", [KEYS["shop"]["old"], KEYS["shop"]["new"], read_key(PRIVATE, "ed")])
def test_a_request_by_each_key_of_a_client(key):
    made = signing.sign_request(DATA, key, client="shop", service="stock", request_id="r1", lifetime=30)
    claims = opened(made)
    assert (claims.client, claims.request_id, claims.hash) == ("shop", "r1", digest(DATA))
    assert claims.key is KEYS["shop"][key.id]
    assert opened(token(key)).client == "shop"


STALE = round(time.time(), -6) - 1_000_000
#: However long it takes until a test gets here.
FUTURE = round(time.time(), -6) + 100 * signing.LIFETIME


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "billing"},
        {"aud": ["stock", "billing"]},
        {"aud": None},
        {"client": "billing"},
        {"client": None},
        {"exp": STALE, "iat": STALE - 30},
        {"exp": None},
        {"iat": None},
        {"iat": FUTURE, "exp": FUTURE + 10},
        {"exp": FUTURE},
        {"exp": "tomorrow"},
        {"jti": None},
        {"jti": 5},
        {"hash": None},
        {"hash": 5},
        {"nbf": FUTURE},
        {"header": {"kid": "unknown"}},
        {"header": {"kid": "old"}},
        {"header": {"kid": "ed"}},
        {"header": {"typ": "rpc-response+jwt"}},
        {"header": {"typ": None}},
        {"key": read_key("w" * 32, "new")},
        {"key": read_key(pem_pair()[0], "ed")},
    ],
    ids=str,
)
def test_forged_tokens_are_refused(changes):
    with pytest.raises(NotAuthentic):
        opened(token(**changes))


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def forged(header, key=b"", **changes):
    """A token with a header that names the algorithm, signed by that algorithm."""
    import hashlib
    import hmac

    now = time.time()
    claims = {"iss": "shop", "aud": "stock", "iat": now, "exp": now + 30, "jti": "r1", "hash": digest(DATA), **changes}
    body = f"{part({'typ': 'rpc-request+jwt', **header})}.{part(claims)}"
    signature = hmac.new(key, body.encode(), hashlib.sha256).digest() if key else b""
    return f"{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize("alg", ["none", "None", "HS256", "HS512", "EdDSA", "RS256", "", None, 5])
@pytest.mark.parametrize("key", [b"", PUBLIC.encode(), PUBLIC.strip().encode()])
@pytest.mark.parametrize("kid", ["ed", "new"])
def test_algorithm_is_fixed_by_key(alg, key, kid):
    """The known attack: a public key, which everyone has, used as an HMAC secret because the header names HS256."""
    with pytest.raises(NotAuthentic):
        opened(forged({"alg": alg, "kid": kid}, key))


def test_names_of_other_types_are_no_names():
    """A token that the library would not write, made manually with the right secret."""
    good = {"alg": "HS256", "kid": "new"}
    assert opened(forged(good, SECRET.encode())).client == "shop"
    for header, changes in (
        (good, {"iss": ["shop"]}),
        (good, {"iss": {"shop": 1}}),
        ({**good, "kid": None}, {}),
        ({**good, "kid": ["new"]}, {}),
        ({**good, "b64": False, "crit": ["b64"]}, {}),
        (good, {"exp": [1]}),
        (good, {"exp": True, "iat": False}),
    ):
        with pytest.raises(NotAuthentic):
            opened(forged(header, SECRET.encode(), **changes))


@pytest.mark.parametrize(
    "text",
    [None, 5, b"a.b.c", "", "a", "a.b", "a.b.c", "....", "\ud800.a.b", "a" * 10_000_000, "é.é.é", "null.null.null"]
    + [f"{part(value)}.{part(value)}.AA" for value in (None, [], 5, "x", {"alg": "HS256"}, {"kid": {}})]
    + [f"{base64.urlsafe_b64encode(b'[' * 2000).decode()}.AA.AA"],
    ids=lambda text: repr(text)[:20],
)
def test_invalid_tokens(text):
    with pytest.raises(NotAuthentic):
        opened(text)


def test_another_spelling_of_a_signature_is_the_same_token():
    """The last letter of a signature has unused bits: they must not make a new token of a used token."""
    made = token()
    spelt = [made[:-1] + letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"]
    good = []
    for text in spelt:
        try:
            good.append(opened(text).unique)
        except NotAuthentic:
            continue
    assert len(set(good)) == 1
    assert opened(token(jti="r2")).unique not in good


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("short", "at least 32"),
        ("", "a key is the text"),
        (None, "a key is the text"),
        (5, "a key is the text"),
        ("-----BEGIN PUBLIC KEY-----\nMC\n-----END PUBLIC KEY-----", "cannot be read"),
        ("ssh-rsa AAAA", "cannot be read"),
        (pem_pair(ec.generate_private_key(ec.SECP256R1()))[0], "only Ed25519"),
        (pem_pair(ec.generate_private_key(ec.SECP256R1()))[1], "only Ed25519"),
    ],
)
def test_invalid_key_is_refused(text, said):
    with pytest.raises(ValueError, match=said) as caught:
        read_key(text)
    assert not isinstance(text, str) or not text or text not in str(caught.value)


def test_keys_do_not_show_themselves():
    assert SECRET not in repr(read_key(SECRET))
    assert SECRET not in repr(read_keys({"a": SECRET}))
    with pytest.raises(ValueError, match=r"\['b'\] is a secret of 5 bytes"):
        read_keys({"a": SECRET, "b": "short"})


def answered(key=KEYS["shop"]["new"], data=b'{"v":1,"id":"r1"}', service="stock", made=None):
    claims = opened(made or token())
    return signing.sign_response(data, key, claims, service=service)


def check(answer, keys=KEYS["shop"], **more):
    made, data = parted(answer)
    given = {"client": "shop", "service": "stock", "request_id": "r1", "request_hash": digest(DATA), **more}
    open_response(made, data, keys, **given)


def test_an_answer_is_bound_to_its_request():
    check(answered())
    service = read_key(PRIVATE, "2026")
    check(answered(service), {"2026": read_key(PUBLIC, "2026")})
    for wrong in (
        answered()[:-1] + b" ",
        answered(service="billing"),
        answered(read_key("w" * 32, "new")),
        answered(read_key("w" * 32, "unknown")),
        answered(made=token(jti="r2")),
        answered(made=token(hash=digest(b"another"))),
        token().encode() + b'\n{"v":1,"id":"r1"}',  # the token of the request, which has a good signature
    ):
        with pytest.raises(NotAuthentic):
            check(wrong)
    with pytest.raises(NotAuthentic):
        check(answered(), client="billing")
