"""Idempotency keys, outcomes of calls, and writes that are published again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

import django_rpc
from django_rpc import errors
from django_rpc.client.idempotency import ids_for
from django_rpc.client.session import Output, Session
from django_rpc.errors import ImproperSettings
from django_rpc.graph.nodes import Method, ModelSource
from django_rpc.transport.config import Config
from django_rpc.wire.names import request_of
from tests.client.test_session import FakeTransport

SHOP = ModelSource(model="shop.Order", service="rpc")


def delete():
    return Output(Method(parent=SHOP, name="delete"))


def count():
    return Output(Method(parent=SHOP, name="count"))


@pytest.fixture
def transport(monkeypatch):
    from django_rpc.client import session as module

    class Fake(FakeTransport):
        def __init__(self):
            super().__init__()
            self.messages = []

        def send(self, data, request_id, options, **more):
            self.messages.append(request_id)
            return super().send(data, request_of(request_id), options, **more)

    fake = Fake()
    monkeypatch.setattr(module, "transport_for", lambda config: fake)
    return fake


def test_idempotency_key_numbers_writes(transport):
    session = Session({})
    for _ in range(2):
        with django_rpc.once("order-1"):
            session.compute([delete()])
            session.compute([count()])
            session.compute([delete()])
    writes = [request for request in transport.requests if request.once]
    assert [request.id for request in writes] == ["order-1", "order-1.2"] * 2
    assert len(set(transport.messages)) == 6
    assert transport.repeatable == [True] * 6
    session.compute([delete()])
    assert not transport.requests[-1].once
    assert transport.repeatable[-1] is False


def test_writes_are_published_again_where_the_service_does_them_once(transport):
    session = Session({"EXACTLY_ONCE": True})
    session.compute([delete()])
    [request] = transport.requests
    assert request.once
    assert transport.repeatable == [True]
    assert transport.messages == [request.id]


def test_the_setting_is_a_truth_value():
    with pytest.raises(ImproperSettings, match="EXACTLY_ONCE"):
        Config.from_dict({"EXACTLY_ONCE": "yes"})


@pytest.mark.parametrize("key", ["", "a b", "a" * 97, "a::b", None])
def test_invalid_key_is_refused(key):
    with pytest.raises(ValueError, match="cannot be a key"), django_rpc.once(key):
        pass


def test_keys_are_of_their_task_and_nest():
    async def main():
        async def task(key):
            with django_rpc.once(key):
                await asyncio.sleep(0)
                return ids_for(True, False).request

        return await asyncio.gather(task("a"), task("b"))

    assert asyncio.run(main()) == ["a", "b"]
    with django_rpc.once("outer"):
        with django_rpc.once("inner"):
            assert ids_for(True, False).request == "inner"
        assert ids_for(True, False).request == "outer"
    seen = []
    thread = threading.Thread(target=lambda: seen.append(ids_for(True, False).insists))
    with django_rpc.once("here"):
        thread.start()
        thread.join()
    assert seen == [False]


def test_a_time_out_names_the_request_and_not_its_message(transport):
    transport.here = False
    with django_rpc.once("order-2"), pytest.raises(errors.RpcTimeout) as caught:
        Session({"TIMEOUT": 0.05}).compute([delete()])
    assert caught.value.request_id == "order-2"


@pytest.mark.django_db(databases=["default", "rpc"])
class TestAtTheService:
    def test_a_block_that_is_run_again_gets_the_first_answer(self, remote, local):
        for _ in range(2):
            with django_rpc.once("tags-1"):
                one = remote.Tag.objects.create(name="one")
                two = remote.Tag.objects.delayed().create(name="two").compute()
        assert (one.name, two.name) == ("one", "two")
        assert local.Tag.objects.count() == 2
        assert one.pk == local.Tag.objects.get(name="one").pk

    def test_another_write_under_the_key_is_a_conflict(self, remote, local):
        with django_rpc.once("tags-2"):
            remote.Tag.objects.create(name="one")
        with django_rpc.once("tags-2"), pytest.raises(errors.RequestConflict):
            remote.Tag.objects.create(name="other")
        assert local.Tag.objects.count() == 1

    def test_request_outcomes(self, remote, local):
        from django.db import IntegrityError

        with django_rpc.once("tags-3"):
            remote.Tag.objects.delayed().create(name="one").compute()
            with pytest.raises(IntegrityError):
                remote.Tag.objects.create(name="one")
        done, refused = django_rpc.outcome("tags-3"), django_rpc.outcome("tags-3.2")
        assert done.done
        [tag] = done.result()
        assert isinstance(tag, remote.Tag)
        assert tag.name == "one"
        assert done.at is not None
        assert refused.state == "refused"
        with pytest.raises(IntegrityError) as caught:
            refused.result()
        assert caught.value.request_id == "tags-3.2"
        unknown = django_rpc.outcome("never")
        assert unknown.state == "unknown"
        with pytest.raises(errors.OutcomeUnknown):
            unknown.result()

    def test_settled_request_is_not_done(self, remote, local):
        assert django_rpc.outcome("tags-4", settle=True).state == "withdrawn"
        with django_rpc.once("tags-4"), pytest.raises(errors.Withdrawn):
            remote.Tag.objects.create(name="one")
        assert not local.Tag.objects.exists()

    def test_by_the_session_and_by_await(self, remote):
        from django.db import connections

        assert connections["rpc"].session.outcome("nobody").state == "unknown"

    def test_outcome_without_ledger(self, remote, local, settings):
        settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "django_rpc.server"]
        with django_rpc.once("tags-5"), pytest.raises(errors.NoLedger, match="INSTALLED_APPS"):
            remote.Tag.objects.create(name="one")
        with pytest.raises(errors.NoLedger):
            django_rpc.outcome("tags-5")
        remote.Tag.objects.create(name="two")
        assert [tag.name for tag in local.Tag.objects.all()] == ["two"]


@pytest.mark.django_db(databases=["default", "rpc"], transaction=True)
def test_await(remote):
    assert asyncio.run(django_rpc.aoutcome("nobody")).state == "unknown"


def test_outcome_from_new_process():
    code = """
import django; django.setup()
import django_rpc
try:
    django_rpc.outcome("x", timeout=0.2)
except Exception as error:
    print(type(error).__name__)
"""
    import os

    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "django_rpc.demo.client.settings"}
    env["DJANGO_RPC_DEMO_BROKER_URL"] = "redis://127.0.0.1:1/"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert done.stdout == "BrokerUnavailable\n", done.stderr
