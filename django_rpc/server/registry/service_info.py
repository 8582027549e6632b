"""What a service tells of itself: the value of an `ServiceInfo` node."""

from __future__ import annotations

import time
from typing import Any

from django_rpc.server.conf import settings
from django_rpc.server.policy.client_policy import Policy
from django_rpc.server.policy.policy_report import functions_of
from django_rpc.wire.versions import versions

__all__ = ["about"]


def about(policy: Policy) -> dict[str, Any]:
    """To whoever may send a request at all; the functions are those that this client may call."""
    told = {
        "versions": dict(versions()),
        "service": settings.SERVICE,
        "client": policy.request.client,
        "functions": functions_of(policy),
        "ships": policy.request.may_ship,
    }
    seconds = time.perf_counter() - policy.budget.started
    return {**told, "at": time.time(), "seconds": seconds}
