"""Raw bytes and tokens at the server: accepted clients, and refusals without an effect.

``taken_out`` tests each defence twice: with it, where the message is refused, and without, where it is answered.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import random
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_rpc.demo.server.shop.models import Customer
from django_rpc.graph.nodes import Literal
from django_rpc.server import ModelRpc, handler
from django_rpc.server.conf import settings as server_settings
from django_rpc.server.core import authenticate, nonces
from django_rpc.server.ledger import ledger
from django_rpc.wire import signing
from django_rpc.wire.codec import decode_response, encode_request
from tests.server.conftest import call, method, request_for, source

SECRET, OLD, OTHER = "s" * 32, "o" * 32, "w" * 32
CUSTOMERS = source("shop.Customer")
COUNT = method(CUSTOMERS, "count")
REFUSED = "RequestRefused"


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def clients(settings_of_server, db):
    """``clients(shop=..., ...)``: the server knows these."""

    def known(**given):
        shop = {"keys": {"new": SECRET, "old": OLD}}
        settings_of_server(SERVICE="stock", CLIENTS=given or {"shop": shop, "billing": {"keys": {"k": OTHER}}})

    known()
    return known


def message(node=COUNT):
    return encode_request(request_for(node, request_id="t-1"))


def token(data, *, key=SECRET, kid="new", client="shop", service="stock", header=None, **changes):
    """The token of a client that is honest but for ``changes``."""
    now = time.time()
    claims = {"iss": client, "aud": service, "iat": now, "exp": now + 30, "jti": "t-1", "hash": signing.digest(data)}
    names = {"kid": kid, "typ": "rpc-request+jwt", **(header or {})}
    return jwt.encode({**claims, **changes}, key, algorithm="HS256", headers=names)


def sent(data, *beside):
    """(response, whether it was signed, the SQL that ran)"""
    with CaptureQueriesContext(connection) as captured:
        answer = handler.handle(data, *beside)
    made, body = signing.parted(answer)
    return decode_response(body), made is not None, [query["sql"] for query in captured]


def code(data, *beside):
    response, _, _ = sent(data, *beside)
    return response.error.code if response.error else "answered"


@pytest.mark.parametrize(("key", "kid"), [(SECRET, "new"), (OLD, "old")])
def test_each_key_of_a_client(clients, key, kid):
    response, signed, _ = sent(message(), token(message(), key=key, kid=kid), "t-1")
    assert response.outputs == (0,)
    assert signed


def test_each_key_kind_of_client(clients, settings_of_server):
    """Ed25519: two public keys next to a secret; a public key as a secret is refused."""
    (new, new_public), (old, old_public), (service, service_public) = pair(), pair(), pair()
    shop = {"keys": {"ed-2027": new_public, "ed-2026": old_public, "hs": SECRET}}
    settings_of_server(SERVICE="stock", CLIENTS={"shop": shop}, KEY=service, KEY_ID="2026")

    def signed(private, kid):
        now = time.time()
        claims = {
            "iss": "shop",
            "aud": "stock",
            "iat": now,
            "exp": now + 30,
            "jti": "t-1",
            "hash": signing.digest(DATA),
        }
        return jwt.encode(claims, private, algorithm="EdDSA", headers={"kid": kid, "typ": "rpc-request+jwt"})

    for private, kid in ((new, "ed-2027"), (old, "ed-2026")):
        token_of_answer, body = signing.parted(handler.handle(DATA, signed(private, kid), "t-1"))
        assert decode_response(body).outputs == (0,)
        found = jwt.decode(token_of_answer, service_public, ["EdDSA"], audience="shop", options={"verify_exp": False})
        assert found["jti"] == "t-1"
    assert code(DATA, token(DATA, kid="hs")) == "answered"
    assert code(DATA, signed(new, "ed-2026")) == REFUSED
    assert code(DATA, signed(old, "hs")) == REFUSED
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"ed-2027","typ":"rpc-request+jwt"}').rstrip(b"=").decode()
    body = signed(new, "ed-2027").split(".")[1]
    for secret in (new_public.encode(), new_public.strip().encode(), b""):
        forged = hmac.new(secret, f"{head}.{body}".encode(), "sha256").digest()
        confused = f"{head}.{body}.{base64.urlsafe_b64encode(forged).rstrip(b'=').decode()}"
        assert code(DATA, confused) == REFUSED


def pair():
    private = Ed25519PrivateKey.generate()
    form, public = serialization.PrivateFormat.PKCS8, serialization.PublicFormat.SubjectPublicKeyInfo
    return (
        private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode(),
        private.public_key().public_bytes(serialization.Encoding.PEM, public).decode(),
    )


def test_caller_is_identified(clients, registered):
    class AskingRpc(ModelRpc):
        fields = ["id"]
        methods = ["who"]

        def who(self, request, queryset):
            return request.client

    registered(Customer, AskingRpc)
    who = message(call(CUSTOMERS, "who"))
    assert sent(who, token(who))[0].outputs == ("shop",)
    assert sent(who, token(who, client="billing", key=OTHER, kid="k"))[0].outputs == ("billing",)


STALE = time.time() - 10_000
DATA = message()
ATTACKS = {
    "unsigned": lambda: (DATA,),
    "no token": lambda: (DATA, ""),
    "no text": lambda: (DATA, {"alg": "none"}),
    "forged": lambda: (DATA, token(DATA, key=OTHER)),
    "by another client's key": lambda: (DATA, token(DATA, key=OTHER, kid="k")),
    "in another client's name": lambda: (DATA, token(DATA, client="billing", kid="k")),
    "unknown client": lambda: (DATA, token(DATA, client="nobody")),
    "unknown key": lambda: (DATA, token(DATA, kid="newest")),
    "altered": lambda: (DATA.replace(b"count", b"first"), token(DATA)),
    "one more space": lambda: (DATA + b" ", token(DATA)),
    "expired": lambda: (DATA, token(DATA, iat=STALE, exp=STALE + 30)),
    "from the future": lambda: (DATA, token(DATA, iat=time.time() + 9_000, exp=time.time() + 9_030)),
    "good for ever": lambda: (DATA, token(DATA, exp=time.time() + 10**9)),
    "for another service": lambda: (DATA, token(DATA, service="billing")),
    "for two services": lambda: (DATA, token(DATA, aud=["stock", "billing"])),
    "an answer's token": lambda: (DATA, token(DATA, header={"typ": "rpc-response+jwt"})),
    "another envelope": lambda: (DATA, token(DATA), "t-2"),
    "no JSON, unsigned": lambda: (b"[" * 100_000,),
    "no JSON, forged": lambda: (b"nonsense", token(b"nonsense", key=OTHER)),
    "an unknown node, unsigned": lambda: (b'{"v":1,"id":"t-1","nodes":[["nope"]],"outputs":[0]}',),
    "another version, unsigned": lambda: (b'{"v":99,"id":"t-1","nodes":[],"outputs":[]}',),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_refusals_are_identical(clients, attack, monkeypatch):
    """The bytes are the same, and nothing was decoded or run."""
    monkeypatch.setattr(handler, "decode_request", lambda *args: pytest.fail("the graph was decoded"))
    expected = handler.handle(DATA)
    given = ATTACKS[attack]()
    response, signed, queries = sent(*given)
    assert response.error.code == REFUSED
    assert (signed, queries) == (False, [])
    assert handler.handle(*given) == expected or len(given) == 3


def test_refusal_reason_is_logged(clients, caplog):
    handler.handle(DATA, token(DATA, service="billing"), "t-1")
    (record,) = caplog.records
    assert "Audience" in record.getMessage()
    assert record.rpc_request == "t-1"


def test_a_replay(clients, registered):
    made = token(DATA)
    assert code(DATA, made) == "answered"
    assert [code(DATA, made), code(DATA, made)] == [REFUSED, REFUSED]
    assert code(DATA, token(DATA, iat=time.time() - 1)) == "answered", "the client itself may send it again"


def test_replayed_write_is_done_once(clients, shop_data, registered):
    registered(Customer, fields=["id", "name", "credit"], operations={"read", "update"})
    more = message(method(method(CUSTOMERS, "filter", pk=1), "update", name="once"))
    made = token(more)
    assert code(more, made) == "answered"
    Customer.objects.update(name="since then")
    assert code(more, made) == REFUSED
    assert not Customer.objects.filter(name="once").exists()


@contextlib.contextmanager
def killed(monkeypatch):
    """A worker that is killed before the end of a request: it has begun the token, and not used it up."""

    class Killed(BaseException):
        pass

    def die(*args):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(handler, "_handle", die)
        with pytest.raises(Killed):
            yield


def test_read_of_killed_worker_is_repeated_within_limit(clients, monkeypatch):
    made = token(DATA)
    with killed(monkeypatch):
        handler.handle(DATA, made)
    assert code(DATA, made) == "answered"
    assert code(DATA, made) == REFUSED
    made = token(DATA, jti="t-1", iat=time.time() - 2)
    for _ in range(nonces.MAX_BEGINS):
        with killed(monkeypatch):
            handler.handle(DATA, made)
    assert code(DATA, made) == REFUSED


def test_write_of_killed_worker_is_done_once(clients, monkeypatch, shop_data, registered):
    registered(Customer, fields=["id", "name"], operations={"read", "update"})
    more = message(method(CUSTOMERS, "update", name="twice"))
    made = token(more)
    with killed(monkeypatch):
        handler.handle(more, made)
    assert code(more, made) == "answered"
    Customer.objects.update(name="since then")
    with killed(monkeypatch):
        handler.handle(more, token(more, iat=time.time() - 1))
    assert code(more, token(more, iat=time.time() - 1)) == "answered", "the first answer, from the ledger"
    assert not Customer.objects.filter(name="twice").exists()


def test_write_of_killed_worker_without_ledger_is_not_repeated(clients, monkeypatch, shop_data, registered, settings):
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != ledger.APP]
    registered(Customer, fields=["id", "name"], operations={"read", "update"})
    more = message(method(CUSTOMERS, "update", name="twice"))
    made = token(more)
    with killed(monkeypatch):
        handler.handle(more, made)
    assert code(more, made) == "OutcomeUnknown"
    assert not Customer.objects.filter(name="twice").exists()


def test_the_message_of_a_worker_that_died_before_it_had_sent_its_answer_is_taken_again(clients, shop_data, registered):
    registered(Customer, fields=["id", "name"], operations={"read", "update"})
    more = message(method(CUSTOMERS, "update", name="once"))
    made = token(more)
    first = handler.serve(more, made).answer
    second, finish, *_ = handler.serve(more, made)
    assert signing.parted(first)[1] == signing.parted(second)[1]
    finish()
    assert code(more, made) == REFUSED


def test_publication_belongs_to_its_request(clients):
    assert code(DATA, token(DATA), "t-1::2") == "answered"
    assert code(DATA, token(DATA, iat=time.time() - 1), "t-1:2") == REFUSED


def test_token_of_other_request_is_refused(clients):
    """A client that signs one id and sends another would get by the memory of ids."""
    assert code(DATA, token(DATA, jti="t-2"), "t-2") == REFUSED


def test_broken_cache_refuses_signed_requests(clients, monkeypatch):
    def broken(*args):
        raise ConnectionError("no cache")

    monkeypatch.setattr(nonces, "begin", broken)
    with pytest.raises(ConnectionError):
        handler.handle(DATA, token(DATA))


def test_an_answer_is_not_lost_with_the_cache(clients, monkeypatch, caplog):
    def broken(*args):
        raise ConnectionError("no cache")

    monkeypatch.setattr(nonces, "end", broken)
    assert code(DATA, token(DATA)) == "answered"
    assert "could not be noted" in caplog.text


# Accepted clients by the settings


def test_without_clients_everybody_is_anonymous(settings_of_server, db):
    settings_of_server()
    response, signed, _ = sent(DATA)
    assert (response.outputs, signed) == ((0,), False)
    assert code(DATA, token(DATA)) == REFUSED, "there is no key to check it by"


def test_with_clients_anonymous_has_to_be_listed(clients):
    assert code(DATA) == REFUSED
    clients(shop={"keys": {"new": SECRET}}, anonymous={})
    assert code(DATA) == "answered"
    assert code(DATA, token(DATA)) == "answered"
    assert code(DATA, token(DATA, key=OTHER)) == REFUSED, "a bad token is not as none"
    assert code(DATA, "") == REFUSED
    assert code(DATA, token(DATA, client="anonymous")) == REFUSED


def test_a_key_that_was_taken_away(clients):
    clients(shop={"keys": {"new": SECRET}})
    assert code(DATA, token(DATA, key=OLD, kid="old")) == REFUSED
    assert code(DATA, token(DATA)) == "answered"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"shop": {"keys": {"new": "short"}}}, r"\['shop'\]\['keys'\] \['new'\] is a secret of 5 bytes"),
        ({"shop": {"keys": {}}}, "has to be a dict of keys"),
        ({"shop": {}}, "has to be a dict of keys"),
        ({"shop": {"key": SECRET}}, "has no 'key'; did you mean 'keys'"),
        ({"shop": {"keys": SECRET, "user": 5}}, "the name of a user"),
        ({"shop": SECRET}, "has to be a dict"),
        ({"": {"keys": SECRET}}, "is a text"),
        ({"anonymous": {"keys": SECRET}}, "does not sign"),
    ],
)
def test_mistakes_in_clients(settings_of_server, given, said):
    settings_of_server(SERVICE="stock", CLIENTS=given)
    with pytest.raises(ImproperlyConfigured, match=said) as caught:
        _ = server_settings.clients
    assert SECRET not in str(caught.value)


def test_clients_need_the_name_of_the_service(settings_of_server):
    settings_of_server(CLIENTS={"shop": {"keys": SECRET}})
    with pytest.raises(ImproperlyConfigured, match="no SERVICE"):
        _ = server_settings.clients
    settings_of_server(CLIENTS={"anonymous": {}})
    assert list(server_settings.clients) == ["anonymous"]


# Each defence taken out


@pytest.fixture
def passes(monkeypatch):
    """``passes("module.name", value)``: with this defence replaced; for one block."""

    @contextlib.contextmanager
    def without(owner, name, value):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            yield

    return without


def test_each_defence_taken_out(clients, passes, monkeypatch):
    altered = DATA.replace(b"count", b"exists")
    checked = signing._checked

    def unchecked_signature(text, key, *args, **kwargs):
        return jwt.decode(text, options={"verify_signature": False})

    def any_service(text, key, required, *, audience, typ):
        said = jwt.decode(text, options={"verify_signature": False})
        return checked(text, key, required, audience=said["aud"], typ=typ)

    for name, attack, owner, attribute, value in (
        ("signature", (DATA, token(DATA, key=OTHER)), signing, "_checked", unchecked_signature),
        ("audience", (DATA, token(DATA, service="billing")), signing, "_checked", any_service),
        ("bytes", (altered, token(DATA)), signing, "digest", lambda data: signing.hashlib.sha256(b"").hexdigest()),
        ("expiry", (DATA, token(DATA, iat=STALE, exp=STALE + 30)), signing, "CLOCK_SKEW", 20_000),
        ("lifetime", (DATA, token(DATA, exp=time.time() + 10**6)), signing, "LIFETIME", 10**7),
        ("replay", (DATA, token(DATA)), nonces, "begin", lambda cache, claims: False),
    ):
        cache.clear()
        if name == "replay":
            handler.handle(*attack)
        assert code(*attack) == REFUSED, name
        with passes(owner, attribute, value):
            if name == "bytes":
                attack = (altered, token(DATA))
            assert code(*attack) == "answered", name
    assert code(altered, token(DATA)) == REFUSED
    with passes(authenticate, "ANONYMOUS", "shop"):
        assert code(DATA) == "answered", "unsigned requests taken for those of a client"


def test_a_message_that_is_signed_is_read_as_ever(clients):
    """A signed invalid message gets an error that its sender can read."""
    nonsense = b"nonsense"
    response, signed, _ = sent(nonsense, token(nonsense), "t-1")
    assert (response.error.code, response.id, signed) == ("BadMessage", "t-1", True)
    literal = message(Literal(value=1))
    assert sent(literal, token(literal))[0].outputs == (1,)


def test_answers_of_task_are_signed(clients):
    """That the worker process was lost, and that a message carries Celery's callbacks."""
    from django_rpc.celery import task

    class Sender:
        name = "django_rpc.call"

        class reply_lists:
            of = classmethod(lambda cls, task_id, key: cls)
            push = staticmethod(lambda *args: pushed.append(args))

    pushed = []
    made = token(DATA)
    kwargs = {"reply_to": "django_rpc:reply:t-1", "token": made}
    lost = type("WorkerLostError", (Exception,), {})()
    task._answer_for_the_lost(Sender, "t-1", lost, (DATA.decode(),), kwargs)
    task._answer_for_the_lost(Sender, "t-1", lost, (DATA.decode(),), {**kwargs, "token": None})
    (signed, body), (nothing, _) = (signing.parted(args[1]) for args in pushed)
    assert (decode_response(body).error.code, nothing) == ("WorkerLost", None)
    keys = server_settings.clients["shop"].keys
    given = {"client": "shop", "service": "stock", "request_id": "t-1", "request_hash": signing.digest(DATA)}
    signing.open_response(signed, body, keys, **given)


#: Values of other types than a token's claims and header have.
ODD_CLAIMS = [
    None,
    True,
    5,
    1.5,
    -1,
    10**30,
    1e308,
    "",
    "x" * 600,
    "\x00",
    [],
    ["shop"],
    [[]],
    {},
    {"a": []},
    [None] * 9,
]


@pytest.mark.parametrize("part", ["header", "claims"])
@pytest.mark.parametrize("name", ["kid", "alg", "typ", "iss", "aud", "jti", "hash", "iat", "exp", "nbf", "crit", "x"])
def test_odd_types_in_token_are_refused(clients, part, name):
    """With a good signature, and without."""
    good = token(DATA).split(".")
    for value in ODD_CLAIMS:
        parts = [json.loads(base64.urlsafe_b64decode(text + "==")) for text in good[:2]]
        parts[part == "claims"][name] = value
        if parts == [json.loads(base64.urlsafe_b64decode(text + "==")) for text in good[:2]]:
            continue
        head = ".".join(base64.urlsafe_b64encode(json.dumps(half).encode()).rstrip(b"=").decode() for half in parts)
        signature = hmac.new(SECRET.encode(), head.encode(), "sha256").digest()
        for sign in (signature, b"x" * 32):
            odd = f"{head}.{base64.urlsafe_b64encode(sign).rstrip(b'=').decode()}"
            assert code(DATA, odd) == REFUSED, (name, value)


#: Texts of JSON in the place of a whole part.
ODD_PARTS = [
    *("null", "true", "5", "1e999", "-0", '"x"', "[]", "{}", "[[]]", "NaN", "", " ", "{", '{"kid":"new"}', "[" * 2_000),
    *(
        '{"a":' * 600 + "1" + "}" * 600,
        '{"iss":"shop","iss":["shop"]}',
        '{"alg":"none"}',
        '{"alg":"HS256","alg":"none"}',
    ),
    *('{"kid":"new","kid":[]}', '{"kid":' + "9" * 3_000 + "}", '{"\\u006bid":[]}', '{"kid":"\\ud800"}', "\ufeff{}"),
]


@pytest.mark.parametrize("part", ["header", "claims", "both"])
@pytest.mark.parametrize("text", ODD_PARTS)
def test_any_json_in_token_part_is_refused(clients, part, text):
    parts = token(DATA).split(".")[:2]
    odd = base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
    halves = zip(("header", "claims"), parts, strict=True)
    head = ".".join([odd if part in (name, "both") else half for name, half in halves])
    signature = hmac.new(SECRET.encode(), head.encode(), "sha256").digest()
    assert code(DATA, f"{head}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}") == REFUSED


def test_random_tokens_are_refused(clients):
    draw, good = random.Random(9), token(DATA)
    for _ in range(3_000):
        odd = list(good)
        for _ in range(draw.randint(1, 6)):
            odd[draw.randrange(len(odd) - 1)] = draw.choice(".-_=AZaz09é\x00\ud800{}[]\"' \n")
        text = "".join(odd)[: draw.choice([len(odd), draw.randrange(len(odd) - 1)])]
        if text != good:
            assert code(DATA, text) == REFUSED, text
    for text in ("..", "...", "a.b.c", "." * 4000, "e30.e30.", "W10.W10.W10", "bnVsbA.bnVsbA.x", [], {}, 5, b"x"):
        assert code(DATA, text) == REFUSED


@pytest.mark.parametrize("algorithm", ["HS256", "EdDSA"])
def test_unknown_name_takes_time_of_verification(clients, monkeypatch, algorithm):
    """The time does not reveal which clients and keys exist, and which algorithm a key has."""
    pair = Ed25519PrivateKey.generate()
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    public = pair.public_key().public_bytes(*form).decode()
    clients(shop={"keys": {"new": SECRET}}, billing={"keys": {"new": public}})
    verified = []
    for kind in (jwt.algorithms.HMACAlgorithm, jwt.algorithms.OKPAlgorithm):

        def verify(self, *args, kind=kind, real=kind.verify):
            verified.append(kind)
            return real(self, *args)

        monkeypatch.setattr(kind, "verify", verify)
    key = Ed25519PrivateKey.generate() if algorithm == "EdDSA" else OTHER
    now, data = time.time(), message()
    done = []
    for client, kid in (("shop", "new"), ("billing", "new"), ("shop", "nope"), ("nobody", "new"), ("nobody", "")):
        claims = {
            "iss": client,
            "aud": "stock",
            "iat": now,
            "exp": now + 30,
            "jti": "t-1",
            "hash": signing.digest(data),
        }
        forged = jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid, "typ": "rpc-request+jwt"})
        response, _, statements = sent(data, forged)
        assert (response.error.code, statements) == (REFUSED, [])
        done.append(list(verified))
        verified.clear()
    assert done == [done[0]] * 5
    assert len(done[0]) == 1
