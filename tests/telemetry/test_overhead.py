"""The cost without observers, in calls of functions; ``make bench`` has the times."""

from __future__ import annotations

import logging
import sys

import pytest
from prometheus_client import REGISTRY

from django_rpc.client.session import Session
from django_rpc.graph.nodes import Method, ModelSource
from django_rpc.server import site
from django_rpc.server.conf import settings
from django_rpc.server.core.clients import Client
from django_rpc.server.core.instrumentation import ObservedRequest as AtServer
from django_rpc.server.policy.policy_report import policy_of
from django_rpc.telemetry.hooks import Sent
from django_rpc.wire.messages import Request, Response

_ORDERS = ModelSource("shop.Order", "rpc")
_CREATED = Method(_ORDERS, "create", (), {"number": "4711"})
REQUEST = Request(id="r-1", nodes=(_ORDERS, _CREATED), outputs=(1,))


def server(policy):
    observed = AtServer(settings.observers, "r-1", 200, "shop", {}, dict)
    observed.served.request = REQUEST
    observed.evaluates(policy)
    observed.answered(Response(id="r-1", outputs=(1,)), None)
    observed.end(200)


def client(hooks):
    message = Sent(service="rpc", queue="django_rpc", request=REQUEST)
    for end in filter(None, [hook.message_begins(message) for hook in hooks]):
        end(message)


def calls(function, argument):
    """How many functions are called, those in C too."""
    function(argument)  # done once
    events = []
    sys.setprofile(lambda frame, event, called: events.append(event))
    try:
        function(argument)
    finally:
        sys.setprofile(None)
    return sum(event in ("call", "c_call") for event in events)


@pytest.fixture
def nobody(monkeypatch):
    """The libraries are absent, and the audit log is discarded, whatever other tests have changed."""
    for name in ("prometheus_client", "opentelemetry.trace"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    audit = logging.getLogger("django_rpc.audit")
    level = audit.level
    audit.setLevel(logging.WARNING)
    yield
    audit.setLevel(level)


def test_time_without_observers(nobody):
    assert calls(server, policy_of(site, Client("shop"))) <= 17
    assert calls(client, Session({}).hooks) <= 12


def test_time_with_observers():
    """The limits above are below the cost with observers, so they can fail."""
    assert REGISTRY
    assert calls(server, policy_of(site, Client("shop"))) > 50
    assert calls(client, Session({}).hooks) > 50
