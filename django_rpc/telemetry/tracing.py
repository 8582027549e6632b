"""Spans by OpenTelemetry: of a message at the client, of the same at the service, of the stages of a plan.

They are there where the program has set a tracer provider; a program that has not imported ``opentelemetry`` pays a
look into ``sys.modules``, and nothing is imported for it.  A client's span crosses as the propagator that is set
writes it (``traceparent``), in the headers of the message.  Attributes are those of the semantic conventions for RPC
and messaging; no value of a request is among them.
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

#: The system, for the conventions; what a method is called that the service does not have.
_SYSTEM, _OTHER = "django_rpc", "_OTHER"
#: A header of a message that is longer is none of a trace.
_LONGEST = 8192


def _tracer() -> Tracer | None:
    """The tracer of the provider that the program has set; None where it has set none."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None or (getattr(api, "_TRACER_PROVIDER", api) is None and _environment_names_none(api)):
        return None
    provider = api.get_tracer_provider()
    return None if isinstance(provider, api.ProxyTracerProvider) else _tracer_of(provider)


@functools.lru_cache(maxsize=1)
def _environment_names_none(api: Any) -> bool:
    """Whether there is none that ``get_tracer_provider()`` sets, which looks there each time that it is called."""
    return isinstance(api.get_tracer_provider(), api.ProxyTracerProvider)


@functools.lru_cache(maxsize=4)
def _tracer_of(provider: Any) -> Tracer:
    tracer: Tracer = provider.get_tracer("django_rpc")
    return tracer


def sent(message: Sent) -> Callable[[Sent], object] | None:
    """The observer of a client: a span from before a message is sent until its answer is read."""
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
    """The observer of a service: a span while a message is answered, which is that of the thread meanwhile."""
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
        # A name that does not exist is of whoever sent it, and there is no end of such.
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
    """What the propagator that is set may read: the sender is not trusted to have sent texts, and short ones."""
    from opentelemetry import propagate

    found = {name: headers.get(name) for name in propagate.get_global_textmap().fields}
    return {name: text for name, text in found.items() if isinstance(text, str) and len(text) <= _LONGEST}


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
    """A span for a plan of several stages, and one below it for each; it watches a run of the client.

    A stage's messages, and what its local functions do, are below the stage.
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
        """For a run that begins now; None where nobody traces."""
        tracer = _tracer()
        return None if tracer is None else cls(tracer, stages, messages)

    def began(self, run: Any, number: int) -> None:
        from opentelemetry.trace import set_span_in_context

        service = run.plan.stages[number].service
        where = "here" if service is None else service
        self._under_way[number] = self._tracer.start_span(
            f"django_rpc stage {number + 1}: {where}",
            set_span_in_context(self._plan),
            attributes={"django_rpc.stage": number + 1, "django_rpc.nodes": len(run.plan.stages[number].nodes)},
        )

    @contextlib.contextmanager
    def within(self, number: int) -> Iterator[None]:
        """While a stage is sent, or runs here."""
        from opentelemetry.trace import use_span

        with use_span(self._under_way[number], record_exception=False, set_status_on_exception=False):
            yield

    def ended(self, run: Any, number: int) -> None:
        self._under_way.pop(number).end()
        self._left -= 1

    def closed(self, run: Any) -> None:
        """What has not ended by now has failed, or was not done for what had."""
        from opentelemetry.trace import Status, StatusCode

        for span in self._under_way.values():
            span.set_status(Status(StatusCode.ERROR))
            span.end()
        if self._left:
            self._plan.set_status(Status(StatusCode.ERROR))
        self._plan.end()


#: What watches the plans of clients with this observer.
sent.plan = PlanSpans.of  # type: ignore[attr-defined]
