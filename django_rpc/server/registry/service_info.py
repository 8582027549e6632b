"""Information about a service: the value of a `ServiceInfo` node."""

from __future__ import annotations

import time
from typing import Any

from django_rpc.server.conf import settings
from django_rpc.server.policy.client_policy import Policy
from django_rpc.server.policy.policy_report import functions_of
from django_rpc.wire.versions import versions

__all__ = ["about"]


def about(policy: Policy) -> dict[str, Any]:
    """Return the information for any client that may send requests; the functions are those that it may call."""
    information = {
        "versions": dict(versions()),
        "service": settings.SERVICE,
        "client": policy.request.client,
        "functions": functions_of(policy),
        "ships": policy.request.may_ship,
    }
    seconds = time.perf_counter() - policy.budget.started
    return {**information, "at": time.time(), "seconds": seconds}
