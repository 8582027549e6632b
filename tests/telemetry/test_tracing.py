"""Spans of both ends, in this process: the client's and the service's are of one trace, and no value is in them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging

import pytest
from django.db import connections
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from django_rpc import delayed
from django_rpc.client.session import Output, Session
from django_rpc.graph.nodes import Method, ModelSource
from django_rpc.server import handle
from django_rpc.telemetry import tracing
from django_rpc.test import in_process
from django_rpc.wire.codec import encode_request
from django_rpc.wire.messages import Request

MARK = "a value of a client"
COUNT = Method(ModelSource("shop.Customer", "rpc"), "count")


@pytest.fixture
def spans(monkeypatch, db):
    """``spans()``: those that have ended since the last time, by their names."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)

    def ended():
        found = exporter.get_finished_spans()
        exporter.clear()
        return found

    yield ended
    assert not trace.get_current_span().get_span_context().is_valid, "a span was left attached"


def of_kind(found, kind):
    (one,) = [span for span in found if span.kind is kind]
    return one


@pytest.mark.parametrize("way", [contextlib.nullcontext, in_process])
def test_client_and_service_share_trace(spans, remote, shop_data, way):
    with way(), trace.get_tracer("test").start_as_current_span("a view"):
        assert remote.Customer.objects.filter(name=MARK).count() == 0
    view, client, server = (next(s for s in spans_of if t(s)) for spans_of, t in _three(spans()))
    assert view.context.trace_id == client.context.trace_id == server.context.trace_id
    assert (client.parent.span_id, server.parent.span_id) == (view.context.span_id, client.context.span_id)
    assert (client.kind, server.kind) == (SpanKind.CLIENT, SpanKind.SERVER)
    assert client.name == server.name == "shop.Customer.count"
    both = {"rpc.system.name": "django_rpc", "rpc.method": "shop.Customer.count", "rpc.response.status_code": "OK"}
    assert both.items() <= client.attributes.items()
    assert both.items() <= server.attributes.items()
    assert client.attributes["messaging.message.id"] == server.attributes["messaging.message.id"]
    assert client.attributes["messaging.message.body.size"] == server.attributes["messaging.message.body.size"] > 0
    assert (client.attributes["server.address"], client.attributes["messaging.destination.name"]) == (
        "rpc",
        "django_rpc",
    )
    assert (server.attributes["django_rpc.client"], server.attributes["django_rpc.statements"]) == ("anonymous", 1)
    assert MARK not in client.to_json() + server.to_json()


def _three(found):
    yield found, lambda span: span.name == "a view"
    yield found, lambda span: span.kind is SpanKind.CLIENT
    yield found, lambda span: span.kind is SpanKind.SERVER


def test_error_span_has_only_its_code(spans, remote, shop_data):
    with pytest.raises(remote.Customer.DoesNotExist):
        remote.Customer.objects.delayed().get(name=MARK).compute()
    found = spans()
    for span in found:
        assert span.status.status_code is StatusCode.ERROR
        assert (span.attributes["error.type"], span.attributes["django_rpc.outcome"]) == ("DoesNotExist", "failed")
        assert not span.events
        assert MARK not in span.to_json()
    assert len(found) == 2


def test_span_of_write_has_row_counts(spans, remote):
    remote.Tag.objects.create(name=MARK)
    server = of_kind(spans(), SpanKind.SERVER)
    assert server.attributes["django_rpc.rows_written"] == 1
    assert server.attributes["django_rpc.operation"] == "create"


def test_a_refused_name_makes_no_name_of_a_span(spans, settings):
    node = Method(ModelSource("auth.Secret", "rpc"), "count")
    handle(encode_request(Request(id="t-1", nodes=(node.parent, node), outputs=(1,))))
    server = of_kind(spans(), SpanKind.SERVER)
    assert (server.name, server.attributes["rpc.method"]) == ("django_rpc", "_OTHER")
    handle(b"nonsense")
    assert of_kind(spans(), SpanKind.SERVER).attributes["error.type"] == "BadMessage"


def test_a_message_that_is_not_let_in_joins_no_trace(spans, settings):
    settings.DJANGO_RPC = {"SERVICE": "stock", "CLIENTS": {"shop": {"keys": {"k": "s" * 32}}}}
    parent = "00-11111111111111111111111111111111-2222222222222222-01"
    handle(b"nonsense", None, "t-1", {"traceparent": parent})
    server = of_kind(spans(), SpanKind.SERVER)
    assert server.parent is None
    assert f"{server.context.trace_id:032x}" != "1" * 32


@pytest.mark.parametrize("value", ["nonsense", "", 5, ["00"], "00-" + "1" * 10_000, None])
def test_hostile_headers(spans, value):
    message = encode_request(Request(id="t-1", nodes=(COUNT.parent, COUNT), outputs=(1,)))
    handle(message, None, "t-1", {"traceparent": value, "tracestate": value, "baggage": value})
    assert of_kind(spans(), SpanKind.SERVER).parent is None


def test_below_a_span_that_is_there_already(spans):
    """The instrumentation of Celery begins a span for each task."""
    message = encode_request(Request(id="t-1", nodes=(COUNT.parent, COUNT), outputs=(1,)))
    with trace.get_tracer("celery").start_as_current_span("run") as run:
        handle(message, None, "t-1")
    assert of_kind(spans(), SpanKind.SERVER).parent.span_id == run.get_span_context().span_id


def test_service_spans_are_below_the_message(spans, monkeypatch):
    from django_rpc.server import handler

    def answering(*args):
        trace.get_tracer("own").start_span("own").end()
        return answer(*args)

    answer = handler.answer
    monkeypatch.setattr(handler, "answer", answering)
    handle(encode_request(Request(id="t-1", nodes=(COUNT.parent, COUNT), outputs=(1,))))
    found = spans()
    (own,) = [span for span in found if span.name == "own"]
    assert own.parent.span_id == of_kind(found, SpanKind.SERVER).context.span_id


def test_baggage_follows_propagator(spans, remote, monkeypatch):
    from django_rpc.server import handler

    seen = []
    answer = handler.answer
    monkeypatch.setattr(handler, "answer", lambda *args: (seen.append(baggage.get_baggage("tenant")), answer(*args))[1])
    attached = context.attach(baggage.set_baggage("tenant", "seven"))
    try:
        with in_process():
            remote.Customer.objects.count()
    finally:
        context.detach(attached)
    assert seen == ["seven"]


# Plans


def plan(remote, function=lambda names: len(names)):
    names = delayed(function)(remote.Customer.objects.delayed().values_list("name", flat=True))
    return remote.Order.objects.delayed().filter(pk=names).count()


def run(one):
    return one.compute()


def awaited(one):
    async def work():
        return await one

    return asyncio.run(work())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", [run, lambda one: one.submit().result(timeout=10)], ids=["compute", "submit"])
def test_stages_of_a_plan(spans, remote, shop_data, how):
    def local(names):
        trace.get_tracer("own").start_span("own").end()
        return len(names)

    with trace.get_tracer("test").start_as_current_span("a view") as view:
        how(plan(remote, local))
    found = {span.name: span for span in spans()}
    whole = found["django_rpc plan"]
    stages = [found[f"django_rpc stage {number}: {where}"] for number, where in [(1, "rpc"), (2, "here"), (3, "rpc")]]
    assert whole.parent.span_id == view.get_span_context().span_id
    assert [stage.parent.span_id for stage in stages] == [whole.context.span_id] * 3
    assert found["own"].parent.span_id == stages[1].context.span_id
    messages = [span for span in found.values() if span.kind is SpanKind.CLIENT]
    assert {span.parent.span_id for span in messages} == {stages[0].context.span_id, stages[2].context.span_id}
    assert {span.context.trace_id for span in found.values()} == {whole.context.trace_id}
    assert {span.status.status_code for span in found.values()} == {StatusCode.UNSET}
    assert (whole.attributes["django_rpc.stages"], whole.attributes["django_rpc.messages"]) == (3, 2)


def test_a_plan_that_fails(spans, remote, shop_data):
    with pytest.raises(ZeroDivisionError):
        plan(remote, lambda names: 1 / 0).compute()
    found = {span.name: span.status.status_code for span in spans()}
    assert found["django_rpc plan"] is found["django_rpc stage 2: here"] is StatusCode.ERROR
    assert found["django_rpc stage 1: rpc"] is StatusCode.UNSET
    assert "django_rpc stage 3: rpc" not in found


# The end of a span


def test_unrequested_answer_span(spans, remote):
    future = remote.Customer.objects.future().count()
    del future
    gc.collect()
    assert of_kind(spans(), SpanKind.CLIENT).attributes["django_rpc.outcome"] == "unread"


def test_a_broker_that_is_away(spans):
    session = Session({"BROKER_URL": "redis://localhost:1/", "RESULT_BACKEND": "redis://localhost:1/"})
    with pytest.raises(Exception, match="broker"):
        session.compute([Output(COUNT)], timeout=0.5)
    client = of_kind(spans(), SpanKind.CLIENT)
    assert (client.attributes["django_rpc.outcome"], client.attributes["error.type"]) == ("lost", "BrokerUnavailable")


# The cost without tracing


def test_no_provider_no_span(remote, db, monkeypatch):
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(tracing, "_tracer_of", lambda provider: pytest.fail("a tracer was asked for"))
    assert remote.Customer.objects.count() == 0


def test_observers_of_a_client_are_by_its_settings(spans, remote):
    settings = {**connections["rpc"].settings_dict, "OBSERVERS": []}
    assert Session(settings).compute([Output(COUNT)]) == [0]
    assert [span.kind for span in spans()] == [SpanKind.SERVER]


def test_nothing_is_imported_for_it(run_python):
    """Calls work without both libraries. With one of them, a call imports none."""
    run_python(
        """
import sys, django
sys.modules["opentelemetry"] = sys.modules["prometheus_client"] = None
django.setup()
from django.core.management import call_command
call_command("migrate", run_syncdb=True, verbosity=0)
from django_rpc.demo.client.shop.models import Customer
assert Customer.objects.count() == 0
assert "django_rpc.telemetry.instruments" not in sys.modules
del sys.modules["prometheus_client"]
assert Customer.objects.count() == 0
assert "prometheus_client" not in sys.modules
""",
        env={"DJANGO_SETTINGS_MODULE": "django_rpc.demo.both_settings"},
    )


def test_the_call_is_logged_as_before(spans, remote, caplog):
    with caplog.at_level(logging.INFO, "django_rpc"):
        remote.Customer.objects.count()
    assert {record.name for record in caplog.records} == {"django_rpc.client", "django_rpc.server"}


def test_a_provider_that_the_environment_names(run_python):
    """``opentelemetry-instrument`` sets it in this way, at its first use."""
    run_python(
        """
import opentelemetry.trace
from django_rpc.telemetry import tracing
from django_rpc.telemetry.hooks import Sent
assert tracing.sent(Sent(service="rpc")) is not None
""",
        env={"OTEL_PYTHON_TRACER_PROVIDER": "sdk_tracer_provider"},
    )
    run_python(
        """
import opentelemetry.trace
from django_rpc.telemetry import tracing
from django_rpc.telemetry.hooks import Sent
assert tracing.sent(Sent(service="rpc")) is None
from opentelemetry.sdk.trace import TracerProvider
opentelemetry.trace.set_tracer_provider(TracerProvider())
assert tracing.sent(Sent(service="rpc")) is not None
"""
    )
