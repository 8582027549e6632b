"""A message as its observers see it, at each end, and what has to be done with it whoever looks.

``BENCH_OBSERVE`` is ``nobody``, ``audit``, ``spans`` or ``metrics``: a process has one kind of observer.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import django

django.setup()

from benchmarks.serve import serve  # noqa: E402
from django_rpc.client.session import Session  # noqa: E402
from django_rpc.graph.nodes import Method, ModelSource  # noqa: E402
from django_rpc.server import site  # noqa: E402
from django_rpc.server.conf import settings  # noqa: E402
from django_rpc.server.core.clients import Client  # noqa: E402
from django_rpc.server.core.instrumentation import ObservedRequest as AtServer  # noqa: E402
from django_rpc.server.policy.policy_report import policy_of  # noqa: E402
from django_rpc.telemetry.hooks import Sent  # noqa: E402
from django_rpc.wire.codec import decode_request, encode_request, encode_response  # noqa: E402
from django_rpc.wire.messages import Request, Response  # noqa: E402

WHO = os.environ.get("BENCH_OBSERVE", "nobody")
if WHO == "metrics":
    import prometheus_client  # noqa: F401 - that is what the observers look for
elif WHO == "spans":
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    trace.set_tracer_provider(TracerProvider())
elif WHO == "audit":
    logging.getLogger("django_rpc.audit").setLevel("INFO")

MESSAGES = 1000
_ORDERS = ModelSource("shop.Order", "rpc")
_CREATED = Method(_ORDERS, "create", (), {"number": "4711", "total": 5})
_REQUEST = Request(id="3f2a9b7c1d", nodes=(_ORDERS, _CREATED), outputs=(1,))
_RESPONSE = Response(id="3f2a9b7c1d", outputs=(1,))
_TEXT = encode_request(_REQUEST)


def server() -> Callable[[], Any]:
    """What `django_rpc.server` tells of a thousand messages."""
    policy = policy_of(site, Client("shop"))

    def run() -> None:
        for _ in range(MESSAGES):
            observed = AtServer(settings.observers, "3f2a9b7c1d", 200, "shop", {}, dict)
            observed.served.request = _REQUEST
            observed.evaluates(policy)
            observed.answered(_RESPONSE, None)
            observed.end(200)

    return run


def client() -> Callable[[], Any]:
    """What `django_rpc.client` tells of a thousand messages."""
    hooks = Session({"BROKER_URL": "redis://localhost/", "RESULT_BACKEND": "redis://localhost/"}).hooks

    def run() -> None:
        for _ in range(MESSAGES):
            sent = Sent(request=_REQUEST, service="rpc", queue="django_rpc")
            ends = [end for hook in hooks if (end := hook.message_begins(sent)) is not None]
            sent.bytes_of_request = 200
            sent.bytes_of_answer = 200
            for end in ends:
                end(sent)

    return run


def reading() -> Callable[[], Any]:
    """A thousand messages are read at the service, and answers of one value written."""

    def run() -> None:
        for _ in range(MESSAGES):
            decode_request(_TEXT)
            encode_response(_RESPONSE)

    return run


if __name__ == "__main__":
    serve({"server": server, "client": client, "reading": reading})
