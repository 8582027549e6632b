"""OpenTelemetry spans of messages at both ends, and of plans and their stages.

Spans exist if the program has set a tracer provider. In other programs the cost is a lookup in ``sys.modules``, without
an import. The configured propagator writes the span of a client into the headers of the message (``traceparent``).
Attributes follow the semantic conventions for RPC and messaging, and contain no value of a request.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from django_rpc.telemetry.hooks import Sent, Served

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

__all__ = ["PlanSpans", "sent", "served"]

#: Value of ``rpc.system.name``, and the method name of a refused message.
_SYSTEM, _OTHER = "django_rpc", "_OTHER"
#: Longest header that is passed to the propagator.
_LONGEST = 8192


def _tracer() -> Tracer | None:
    """Return a tracer of the provider that the program has set; None without a provider."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None or (getattr(api, "_TRACER_PROVIDER", api) is None and _environment_names_none(api)):
        return None
    provider = api.get_tracer_provider()
    return None if isinstance(provider, api.ProxyTracerProvider) else _tracer_of(provider)


@functools.lru_cache(maxsize=1)
def _environment_names_none(api: Any) -> bool:
    """Return True if the environment names no provider. ``get_tracer_provider()`` reads it at each such call."""
    return isinstance(api.get_tracer_provider(), api.ProxyTracerProvider)


@functools.lru_cache(maxsize=4)
def _tracer_of(provider: Any) -> Tracer:
    tracer: Tracer = provider.get_tracer("django_rpc")
    return tracer


def sent(message: Sent) -> Callable[[Sent], object] | None:
    """Observe a message at the client, with a span until its answer is decoded."""
    tracer = _tracer()
    if tracer is None:
        return None
    from opentelemetry import propagate
    from opentelemetry.trace import SpanKind, set_span_in_context

    method = message.method
    span = tracer.start_span(method, kind=SpanKind.CLIENT, attributes=_attributes(message, method))
    span.set_attribute("server.address", message.service)
    span.set_attribute("messaging.destination.name", message.queue)
    propagate.inject(message.headers, set_span_in_context(span))

    def end(message: Sent) -> None:
        _finish(span, message)

    return end


def served(message: Served) -> Callable[[Served], object] | None:
    """Observe a message at the service, with a span that is the current span of the thread."""
    tracer = _tracer()
    if tracer is None:
        return None
    from opentelemetry import context, propagate
    from opentelemetry.trace import SpanKind, set_span_in_context

    parent = propagate.extract(_carried(message.headers), context.get_current())
    span = tracer.start_span(_SYSTEM, parent, kind=SpanKind.SERVER)
    attached = context.attach(set_span_in_context(span, parent))

    def end(message: Served) -> None:
        context.detach(attached)
        # A client can send any number of names that do not exist, and a span name must have few values.
        method = _OTHER if message.outcome == "refused" else message.method or _OTHER
        if method != _OTHER:
            span.update_name(method)
        span.set_attributes(_attributes(message, method))
        span.set_attributes(
            {
                "django_rpc.client": message.client,
                "django_rpc.statements": message.statements,
                "django_rpc.rows": message.rows,
                "django_rpc.rows_written": sum(message.written.values()),
            }
        )
        _finish(span, message)

    return end


def _carried(headers: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers for the propagator: only short texts, because any client may have sent them."""
    from opentelemetry import propagate

    trace_headers = {name: headers.get(name) for name in propagate.get_global_textmap().fields}
    return {name: text for name, text in trace_headers.items() if isinstance(text, str) and len(text) <= _LONGEST}


def _attributes(message: Sent | Served, method: str) -> dict[str, Any]:
    return {
        "rpc.system.name": _SYSTEM,
        "rpc.method": method,
        "django_rpc.operation": message.operation,
        "messaging.message.id": "" if message.request is None else message.request.id,
    }


def _finish(span: Span, message: Sent | Served) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("django_rpc.outcome", message.outcome)
    span.set_attribute("rpc.response.status_code", message.code or "OK")
    span.set_attribute("messaging.message.body.size", message.bytes_of_request)
    span.set_attribute("django_rpc.answer.size", message.bytes_of_answer)
    if message.code:
        span.set_attribute("error.type", message.code)
        span.set_status(Status(StatusCode.ERROR))
    span.end()


class PlanSpans:
    """Span of a plan of several stages, with a child span for each stage.

    Spans of the messages and of the local functions of a stage are children of the span of the stage.
    """

    def __init__(self, tracer: Tracer, stages: int, messages: int) -> None:
        self._tracer = tracer
        self._plan = tracer.start_span(
            "django_rpc plan", attributes={"django_rpc.stages": stages, "django_rpc.messages": messages}
        )
        self._under_way: dict[int, Span] = {}
        self._left = stages

    @classmethod
    def of(cls, stages: int, messages: int) -> PlanSpans | None:
        """Return the spans of a run that begins now; None without a tracer provider."""
        tracer = _tracer()
        return None if tracer is None else cls(tracer, stages, messages)

    def stage_begins(self, run: Any, number: int) -> None:
        from opentelemetry.trace import set_span_in_context

        service = run.plan.stages[number].service
        where = "here" if service is None else service
        self._under_way[number] = self._tracer.start_span(
            f"django_rpc stage {number + 1}: {where}",
            set_span_in_context(self._plan),
            attributes={"django_rpc.stage": number + 1, "django_rpc.nodes": len(run.plan.stages[number].nodes)},
        )

    @contextlib.contextmanager
    def stage_scope(self, number: int) -> Iterator[None]:
        """Make the span of a stage current while the stage is sent or runs in this process."""
        from opentelemetry.trace import use_span

        with use_span(self._under_way[number], record_exception=False, set_status_on_exception=False):
            yield

    def stage_ends(self, run: Any, number: int) -> None:
        self._under_way.pop(number).end()
        self._left -= 1

    def plan_ends(self, run: Any) -> None:
        """End the remaining spans, with an error, because their stages have failed or were not run."""
        from opentelemetry.trace import Status, StatusCode

        for span in self._under_way.values():
            span.set_status(Status(StatusCode.ERROR))
            span.end()
        if self._left:
            self._plan.set_status(Status(StatusCode.ERROR))
        self._plan.end()


#: Clients with this observer have spans of their plans.
sent.plan = PlanSpans.of  # type: ignore[attr-defined]  # a note on the object
