"""Signed requests to a real worker with several processes: answered once, whichever process a copy comes to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from django_rpc import errors
from django_rpc.client.session import Options, Output, Session
from django_rpc.client.unit_of_work import Unit, opened
from django_rpc.graph.delayed.delayed import Delayed
from django_rpc.graph.nodes import Method, ModelSource
from django_rpc.graph.nodes.pickled_function import ship

from .conftest import addresses, run_service

HERE = Path(__file__).parent
COUNT = Output(Method(parent=ModelSource(model="shop.Customer", service="rpc"), name="count"))
SECRET = "a secret of the live tests alone, 32 bytes or more"


def pem_pair():
    private = Ed25519PrivateKey.generate()
    form, public = serialization.PrivateFormat.PKCS8, serialization.PublicFormat.SubjectPublicKeyInfo
    return (
        private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode(),
        private.public_key().public_bytes(serialization.Encoding.PEM, public).decode(),
    )


@pytest.fixture(scope="module", params=["redis-sqlite", "rabbitmq-postgresql"])
def shop(request, redis, prepared):
    """``shop(**settings)``: a session of the client ``shop`` by its Ed25519 key, or with these settings."""
    broker, backend, database = addresses(request.param, request)
    prepared(database)
    (private, public), (service_private, service_public) = pem_pair(), pem_pair()
    env = {
        "SIGNED_CACHE": redis.url,
        "SIGNED_SERVICE_KEY": service_private,
        "SIGNED_SECRET": SECRET,
        "SIGNED_PUBLIC": public,
        "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    signed = {"CLIENT": "shop", "SERVICE": "stock", "KEY": private, "KEY_ID": "ed", "SERVICE_KEY": service_public}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        options = {"settings_module": "signed_settings", "concurrency": 2}
        with run_service(request.param, broker, backend, database, redis, **options) as service:
            yield lambda **more: Session({**service.settings, **signed, **more})


class Recorder:
    """A transport that keeps what it sends, as somebody would who reads the broker."""

    def __init__(self, transport):
        self.transport = transport

    def send(self, request, request_id, options, *, repeatable=False, token=None, headers=None):
        self.sent = request, request_id
        self.token = token
        return self.transport.send(request, request_id, options, repeatable=repeatable, token=token)

    def again(self, **changes):
        """The answer to the recorded message, sent once more."""
        reply = self.transport.send(*self.sent, Options(10), **{"token": self.token, **changes})
        return reply.wait(10)


def test_signed_calls_and_copies_of_them(shop, monkeypatch):
    assert shop(KEY=SECRET, KEY_ID="hs").compute([COUNT]) == shop().compute([COUNT])
    session = shop()
    recorder = Recorder(session.transport)
    monkeypatch.setattr(Session, "transport", recorder)
    [count] = session.compute([COUNT])
    assert count > 0
    # Longer than there are processes: a memory of each process alone would let one of these through.
    answers = [recorder.again() for _ in range(4)] + [recorder.again(token=None), recorder.again(token="a.b.c")]
    assert len(set(answers)) == 1
    assert b'"RequestRefused"' in answers[0]


def test_a_unit_of_work_is_one_signed_message(shop, monkeypatch):
    tags = ModelSource(model="shop.Tag", service="rpc")
    unit, session = Unit("rpc"), shop()
    with opened(unit):
        made = unit.add(Delayed(Method(tags, "create", (), {"name": "signed-unit"})))
        deleted = unit.add(Delayed(Method(Method(tags, "filter", (), {"name": "signed-unit"}), "delete")))
        with pytest.raises(errors.NotSentYet):
            made.result()
    recorder = Recorder(session.transport)
    monkeypatch.setattr(Session, "transport", recorder)
    unit.send(session)
    assert made.result().values[made.result().fields.index("name")] == "signed-unit"
    assert deleted[0] == 1
    assert recorder.token


def emphasised(text, process):
    return MARK + text + MARK, process, os.getpid()


MARK = "*"


def test_a_shipped_function_runs_in_the_worker(shop):
    session = shop()
    customers = Delayed(ModelSource(model="shop.Customer", service="rpc", runner=session))
    name = customers.order_by("pk").first().name
    text, mine, other = session.compute([ship(emphasised, reads_only=True)(name, os.getpid()).__rpc_output__()])[0]
    assert text == f"*{name.compute()}*"
    assert mine == os.getpid() != other


@pytest.mark.parametrize("changes", [{"CLIENT": None, "KEY": None}, {"SERVICE": "billing"}, {"KEY_ID": "hs"}], ids=str)
def test_unauthenticated_clients_are_refused(shop, changes):
    with pytest.raises(errors.RequestRefused):
        shop(**changes).compute([COUNT])
