"""Spans of a client and of a real prefork worker: all in one trace, each below its cause."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

HERE = Path(__file__).parent
CALLS = 20


@pytest.fixture
def mine(monkeypatch):
    """``mine()``: the spans of this process that have ended."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter.get_finished_spans


@pytest.fixture(params=["redis-sqlite", "rabbitmq-postgresql"])
def theirs(request, start_service, use_service, tmp_path, monkeypatch):
    """``theirs()``: the spans of the worker's processes, each with the id of its process."""
    monkeypatch.setenv("SPANS", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]))

    def read():
        return [
            {**json.loads(line), "process": path.stem}
            for path in tmp_path.glob("*.jsonl")
            for line in path.read_text().splitlines()
        ]

    with start_service(request.param, app="traced_worker") as service, use_service(service):
        yield read


def test_spans_of_both_ends(mine, theirs, remote):
    with trace.get_tracer("test").start_as_current_span("a view") as view:
        futures = [remote.Customer.objects.filter(pk=number).future().count() for number in range(CALLS)]
        assert [future.result() for future in futures]
        with pytest.raises(remote.Customer.DoesNotExist):
            remote.Customer.objects.delayed().get(pk=-1).compute()
    client = {f"0x{one.context.span_id:016x}": one for one in mine() if one.kind is SpanKind.CLIENT}
    server = theirs()
    assert len(client) == len(server) == CALLS + 1
    assert {one["context"]["trace_id"] for one in server} == {f"0x{view.get_span_context().trace_id:032x}"}
    assert {one["parent_id"] for one in server} == set(client)  # each below its call
    assert {one.parent.span_id for one in client.values()} == {view.get_span_context().span_id}
    assert len({one["process"] for one in server}) == 2
    for one in server:
        assert one["kind"] == "SpanKind.SERVER"
        assert one["name"] == client[one["parent_id"]].name
        assert one["attributes"]["messaging.message.id"] == client[one["parent_id"]].attributes["messaging.message.id"]
    assert [one["attributes"]["error.type"] for one in server if "error.type" in one["attributes"]] == ["DoesNotExist"]
