"""Two services that know their clients by keys: what one hands to the other, and what others put in its place."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import msgspec
import pytest
import redis as redis_package
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from django_rpc import errors
from django_rpc.client.instrumentation import ObserverHook
from django_rpc.client.session import Session
from django_rpc.demo import environment
from django_rpc.demo.services import prepare_database, temporary_folder
from django_rpc.graph.delayed import runner
from django_rpc.graph.delayed.delayed import Delayed
from django_rpc.graph.nodes import ModelSource
from django_rpc.graph.nodes.pickled_function import ship
from django_rpc.telemetry import tracing
from django_rpc.wire.names import DEPOSIT, GIVEN_PREFIX

from .conftest import run_service
from .test_signed import SECRET, pem_pair

HERE = Path(__file__).parent


class Service:
    def __init__(self, alias, live, settings):
        self.alias = alias
        self.live = live
        self.session = Session({**live.settings, **settings}, alias=alias)

    def objects(self, model):
        return Delayed(ModelSource(f"shop.{model}", self.alias, runner=self.session))


@pytest.fixture(scope="module")
def services(redis):
    """The services a and b, which take requests of the client ``shop`` alone."""
    (private, public), made = pem_pair(), {}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        for alias in "ab":
            service_private, service_public = pem_pair()
            env = {
                "SIGNED_CACHE": redis.url,
                "SIGNED_SERVICE_KEY": service_private,
                "SIGNED_SECRET": SECRET,
                "SIGNED_PUBLIC": public,
                "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]),
            }
            database = environment.sqlite_url(folder / f"{alias}.sqlite3")
            prepare_database(database, data={"customers": 300, "products": 20, "orders": 30})
            with pytest.MonkeyPatch.context() as patch:  # the worker's own, from its start
                for name, value in env.items():
                    patch.setenv(name, value)
                options = {"settings_module": "signed_settings", "concurrency": 1}
                live = stack.enter_context(run_service(alias, redis.url, redis.url, database, redis, **options))
            keys = {"KEY": private, "KEY_ID": "ed", "SERVICE_KEY": service_public}
            made[alias] = Service(alias, live, {"CLIENT": "shop", "SERVICE": "stock", **keys})
        yield made


@pytest.fixture
def store(redis):
    client = redis_package.Redis.from_url(redis.url)
    for key in client.keys(f"{GIVEN_PREFIX}*"):
        client.delete(key)
    return client


def feeding(services):
    a, b = (services[name].objects("Customer") for name in "ab")
    return b.filter(email__in=a.filter(pk__lte=200).values_list("email", flat=True)).count()


def put_there(store, wanted):
    """The key of the one message that waits, or is about to be read, when ``wanted`` is true of its fields."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for key in store.keys(f"{GIVEN_PREFIX}*"):
            if wanted(store.hgetall(key)):
                return key
        time.sleep(0.005)
    raise AssertionError("nothing was put there")


def test_signed_services_hand_over(services, store):
    made = feeding(services)
    assert made.explain(ask=False).startswith("1 round trip, 2 messages, ")
    services["b"].live.worker.pause()
    try:
        future = made.submit(timeout=20)
        key = put_there(store, lambda fields: fields and DEPOSIT.encode() not in fields)
        (given,) = store.hvals(key)
        assert given.count(b"@") == 200  # by the Redis of the two, and not by the client
    finally:
        services["b"].live.worker.resume()
    assert future.result(15) == 200


def domains(emails):
    return sorted({email.partition("@")[2] for email in emails})


def test_shipped_function_receives_forwarded_values(services, monkeypatch):
    """The client's own code, at the one service, on the values of the other, which do not come here."""
    a, b = services["a"], services["b"]
    emails = a.objects("Customer").filter(pk__lte=20).values_list("email", flat=True)
    monkeypatch.setattr(runner, "resolvers", [{"b": b.session}.get])
    made = ship(domains, using="b", reads_only=True)(emails)
    assert made.explain(ask=False).startswith("1 round trip, 2 messages, ")
    assert made.compute() == domains(emails.compute())


@pytest.fixture
def noted(services, store):
    """``noted()``: the headers of the messages to a and b, as they were answered; each has this client's id."""

    def name_request(message):
        message.headers["x-request-id"] = "of-a-view"

    for service in services.values():
        service.session.hooks = [ObserverHook(tracing.sent), ObserverHook(name_request)]
    store.delete("signed:headers")
    yield lambda: [msgspec.json.decode(one) for one in store.lrange("signed:headers", 0, -1)]
    for service in services.values():
        service.session.hooks = []


def test_trace_and_headers_reach_all_stages(services, noted, monkeypatch):
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    with trace.get_tracer("test").start_as_current_span("a view") as view:
        assert feeding(services).compute() == 200
    first, second = noted()
    assert [one["x-request-id"] for one in (first, second)] == ["of-a-view"] * 2
    messages = {
        span.attributes["server.address"]: span
        for span in exporter.get_finished_spans()
        if "server.address" in span.attributes
    }
    for alias, one in (("a", first), ("b", second)):
        _, trace_id, span_id, _ = one["traceparent"].split("-")
        assert int(trace_id, 16) == view.get_span_context().trace_id
        assert int(span_id, 16) == messages[alias].context.span_id
    assert second["parent_id"] == messages["a"].attributes["messaging.message.id"]  # as Celery's own tools see it


def test_foreign_headers_do_not_change_operation(services, noted, store):
    services["a"].live.worker.pause()
    try:
        future = feeding(services).submit(timeout=20)
        key = put_there(store, lambda fields: DEPOSIT.encode() in fields)
        deposit = msgspec.json.decode(store.hget(key, DEPOSIT))
        assert deposit["headers"]["x-request-id"] == "of-a-view"
        deposit["headers"] |= {"task": "celery.backend_cleanup", "timelimit": "0", "root_id": "x", "x-more": "1"}
        store.hset(key, DEPOSIT, msgspec.json.encode(deposit))
    finally:
        services["a"].live.worker.resume()
    assert future.result(15) == 200
    assert noted()[1].get("timelimit") is None


@pytest.mark.parametrize("what", ["altered", "unsigned", "removed"])
def test_forged_forwarded_values_are_refused(services, store, what):
    """Between the one service, which has put its values there, and the other, which has not read them yet."""
    services["b"].live.worker.pause()
    try:
        future = feeding(services).submit(timeout=20)
        key = put_there(store, lambda fields: fields and DEPOSIT.encode() not in fields)
        ((origin, given),) = store.hgetall(key).items()
        if what == "removed":
            store.hdel(key, origin)
        else:
            forged = given if what == "altered" else given.partition(b"\n")[2]
            store.hset(key, origin, forged.replace(b"@", b"%"))
    finally:
        services["b"].live.worker.resume()
    with pytest.raises(errors.HandOverFailed) as caught:
        future.result(15)
    assert caught.value.rpc_stage == 2
    assert "in stage 2 of 2, at service 'b'" in caught.value.__notes__[-1]


@pytest.mark.parametrize("what", ["another request", "no message"])
def test_forged_forwarded_message_is_refused(services, store, what):
    """The one that waits is the client's, signed; a service publishes what is there, and the other refuses it."""
    services["a"].live.worker.pause()
    try:
        future = feeding(services).submit(timeout=20)
        key = put_there(store, lambda fields: DEPOSIT.encode() in fields)
        deposit = msgspec.json.decode(store.hget(key, DEPOSIT))
        other = {**deposit, "text": deposit["text"].replace("count", "first")} if what == "another request" else {}
        store.hset(key, DEPOSIT, msgspec.json.encode(other))
    finally:
        services["a"].live.worker.resume()
    expected = errors.RequestRefused if what == "another request" else errors.HandOverFailed
    with pytest.raises(expected) as caught:
        future.result(15)
    assert caught.value.rpc_stage == (2 if what == "another request" else 1)


def test_forwarding_failure_is_reported_at_once(services, store):
    """What is in the way is no hash: the first service has its values, and cannot put them there."""
    services["a"].live.worker.pause()
    try:
        started = time.monotonic()
        future = feeding(services).submit(timeout=20)
        key = put_there(store, lambda fields: DEPOSIT.encode() in fields)
        store.delete(key)
        store.set(key, "in the way", ex=60)
    finally:
        services["a"].live.worker.resume()
    with pytest.raises(errors.HandOverFailed, match="could not send its values to the next service") as caught:
        future.result(15)
    assert time.monotonic() - started < 10
    assert caught.value.rpc_stage == 1


def test_shared_secret_prevents_forwarding(services):
    a = Session(
        {**services["a"].live.settings, "CLIENT": "shop", "SERVICE": "stock", "KEY": SECRET, "KEY_ID": "hs"}, alias="a"
    )
    b = services["b"].objects("Customer")
    customers = Delayed(ModelSource("shop.Customer", "a", runner=a))
    made = b.filter(email__in=customers.filter(pk__lte=200).values_list("email", flat=True)).count()
    text = made.explain(ask=False)
    assert text.startswith("2 round trips, ")
    assert "'a' signs with a secret" in text
    assert made.compute() == 200
