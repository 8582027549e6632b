"""A client that signs: its settings, and its errors for changed answers."""

from __future__ import annotations

import contextlib

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.cache import cache

from django_rpc import errors
from django_rpc.client import signing
from django_rpc.client.session import Output, Session
from django_rpc.errors import ForgedResponse, ImproperSettings
from django_rpc.graph.nodes import Method, ModelSource
from django_rpc.transport.config import Config
from django_rpc.transport.registry import transport_for
from django_rpc.wire.codec import encode_response
from django_rpc.wire.messages import ErrorReport, Response

SECRET = "s" * 32
COUNT = Method(parent=ModelSource(model="shop.Customer", service="rpc"), name="count")
SHOP = {
    "CELERY": {"task_always_eager": True},
    "TIMEOUT": 5,
    "CLIENT": "shop",
    "KEY": SECRET,
    "KEY_ID": "2026",
    "SERVICE": "stock",
}


def pem_pair():
    private = Ed25519PrivateKey.generate()
    form = serialization.PrivateFormat.PKCS8
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    return (
        private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode(),
        private.public_key().public_bytes(serialization.Encoding.PEM, public).decode(),
    )


PRIVATE, PUBLIC = pem_pair()
SERVICE_PRIVATE, SERVICE_PUBLIC = pem_pair()


@pytest.fixture(autouse=True)
def service(settings, db):
    """The server knows the client ``shop`` by a secret, and by an Ed25519 key."""
    cache.clear()
    keys = {"2026": SECRET, "ed": PUBLIC}
    settings.DJANGO_RPC = {"SERVICE": "stock", "KEY": SERVICE_PRIVATE, "CLIENTS": {"shop": {"keys": keys}}}


def compute(**changes):
    return Session({**SHOP, **changes}).compute([Output(COUNT)])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"TIMEOUT": None},
        {"KEY": PRIVATE, "KEY_ID": "ed", "SERVICE_KEY": SERVICE_PUBLIC},
        {"KEY": PRIVATE, "KEY_ID": "ed", "SERVICE_KEY": {"old": PUBLIC, "default": SERVICE_PUBLIC}},
    ],
)
def test_a_signed_call(changes):
    assert compute(**changes) == [0]


@pytest.mark.parametrize(
    "changes",
    [{"CLIENT": None, "KEY": None}, {"KEY": "w" * 32}, {"KEY_ID": "2027"}, {"CLIENT": "billing"}, {"SERVICE": "till"}],
    ids=str,
)
def test_refusal_names_settings_to_compare(changes):
    with pytest.raises(errors.RequestRefused, match="Compare CLIENT, KEY, KEY_ID and SERVICE"):
        compute(**changes)
    assert issubclass(errors.RequestRefused, errors.PermissionDenied)


class Tampered:
    """A transport with an attacker on the return path."""

    def __init__(self, config, change):
        self.transport = transport_for(config)
        self.change = change
        self.answers = []

    def send(self, request, request_id, options, **more):
        self.request_id = request_id
        reply = self.transport.send(request, request_id, options, **more)
        answer = reply.wait(5)
        self.answers.append(answer)
        changed = self.change(self, answer)
        reply.wait = lambda timeout: changed
        return reply


def unsigned(self, answer, **report):
    report = report or {"code": "DoesNotExist", "message": "no such order"}
    return encode_response(Response(id=self.request_id, error=ErrorReport(**report)))


def in_anothers_name(self, answer):
    return unsigned(self, answer).replace(self.request_id.encode(), b"another")


CHANGES = {
    "a value": lambda self, answer: answer.replace(b'"outputs":[0]', b'"outputs":[1]'),
    "no token": lambda self, answer: answer.partition(b"\n")[2],
    "an error of its own": unsigned,
    "a refusal with more in it": lambda self, answer: unsigned(self, answer, code="Remote", message="RequestRefused"),
    "an answer without a request": in_anothers_name,
    "an earlier answer": lambda self, answer: self.answers[0],
    "half of it": lambda self, answer: answer[: len(answer) // 2],
    "another token": lambda self, answer: b"a.b.c\n" + answer.partition(b"\n")[2],
    "nothing": lambda self, answer: b"",
    "no text": lambda self, answer: b"\xff\xfe\n{}",
}


@pytest.mark.parametrize(
    "changes", [{}, {"KEY": PRIVATE, "KEY_ID": "ed", "SERVICE_KEY": SERVICE_PUBLIC}], ids=["hs", "ed"]
)
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_answer_is_noticed(change, changes, monkeypatch):
    session = Session({**SHOP, **changes})
    tampered = Tampered(session.config, CHANGES[change])
    monkeypatch.setattr(Session, "transport", tampered)
    if change == "an earlier answer":
        session.compute([Output(COUNT)])
    with pytest.raises(ForgedResponse, match="who can write to the RESULT_BACKEND of 'rpc'") as caught:
        session.compute([Output(COUNT)])
    assert caught.value.request_id == tampered.request_id
    # Taken out, the change is believed, or fails for another reason: nothing else notices it.
    monkeypatch.setattr(signing.Signer, "open", lambda self, answer, *rest: answer.partition(b"\n")[2] or answer)
    with contextlib.suppress(errors.RpcError):
        assert session.compute([Output(COUNT)]) in ([0], [1])


def test_a_refusal_cannot_be_signed(monkeypatch):
    """An unknown client shares no key with the service: the unsigned refusal of this request is accepted."""
    session = Session(SHOP)
    refusal = lambda self, answer: unsigned(self, answer, code="RequestRefused", message="no")  # noqa: E731
    monkeypatch.setattr(Session, "transport", Tampered(session.config, refusal))
    with pytest.raises(errors.RequestRefused):
        session.compute([Output(COUNT)])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"KEY": None}, "a CLIENT and no KEY"),
        ({"CLIENT": None}, "a KEY and no CLIENT"),
        ({"SERVICE": None}, "a KEY and no SERVICE"),
        ({"KEY": "short"}, r"DATABASES\['rpc'\]\['KEY'\] is a secret of 5 bytes; at least 32"),
        ({"KEY": PRIVATE}, "an Ed25519 KEY and no SERVICE_KEY"),
        ({"KEY": PUBLIC, "SERVICE_KEY": PUBLIC}, "is a public key"),
        ({"KEY": PRIVATE, "SERVICE_KEY": "short"}, r"\['SERVICE_KEY'\] \['default'\] is a secret"),
        ({"KEY": 5}, "KEY must be text, not int"),
        ({"SERVICE_KYE": SECRET}, "did you mean 'SERVICE_KEY'"),
    ],
)
def test_mistakes_in_the_settings(changes, said):
    with pytest.raises(ImproperSettings, match=said) as caught:
        Session({**SHOP, **changes})
    assert SECRET not in str(caught.value)


def test_a_key_does_not_show_itself():
    assert SECRET not in repr(Config.from_dict(SHOP))
    assert "'shop'" in repr(Config.from_dict(SHOP))


def test_without_a_key_nothing_is_signed():
    assert Session({**SHOP, "CLIENT": None, "KEY": None}).signer is None
