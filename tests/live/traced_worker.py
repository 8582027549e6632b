"""The worker's application, with a tracer provider in each process of the pool that writes spans to its own file."""

import os
from pathlib import Path

from celery import signals
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from django_rpc.celery.app import app

__all__ = ["app"]


@signals.worker_process_init.connect(weak=False)
def trace_process(**kwargs):
    path = Path(os.environ["SPANS"]) / f"{os.getpid()}.jsonl"
    exporter = ConsoleSpanExporter(out=path.open("a"), formatter=lambda span: span.to_json(indent=None) + "\n")
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
