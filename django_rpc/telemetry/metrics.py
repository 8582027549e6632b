"""Observers that count messages for Prometheus, at both ends.

They are active if the program has imported ``prometheus_client``; a worker imports it where PROMETHEUS_MULTIPROC_DIR is
set. In other programs the cost is a lookup in ``sys.modules``, without an import. The first message creates the metrics
in the default registry of the library (`instruments`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from django_rpc.telemetry.hooks import Sent, Served

__all__ = ["sent", "served"]

_LIBRARY = "prometheus_client"


def sent(message: Sent) -> Callable[[Sent], object] | None:
    """Observe a message at the client."""
    if _LIBRARY not in sys.modules or sys.modules[_LIBRARY] is None:
        return None
    from django_rpc.telemetry import instruments

    return instruments.sent(message)


def served(message: Served) -> Callable[[Served], object] | None:
    """Observe a message at the service."""
    if _LIBRARY not in sys.modules or sys.modules[_LIBRARY] is None:
        return None
    from django_rpc.telemetry import instruments

    return instruments.served
