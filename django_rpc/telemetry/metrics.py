"""Metrics for Prometheus: counters and histograms of both ends, by its client library.

They are there where the program has imported ``prometheus_client`` (a worker does where PROMETHEUS_MULTIPROC_DIR is
set); a program that has not pays a look into ``sys.modules``, and nothing is imported for it.  The metrics themselves,
in the library's default registry, are made at the first message (`instruments`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from django_rpc.telemetry.hooks import Sent, Served

__all__ = ["sent", "served"]

_LIBRARY = "prometheus_client"


def sent(message: Sent) -> Callable[[Sent], object] | None:
    """The observer of a client."""
    if _LIBRARY not in sys.modules or sys.modules[_LIBRARY] is None:
        return None
    from django_rpc.telemetry import instruments

    return instruments.sent(message)


def served(message: Served) -> Callable[[Served], object] | None:
    """The observer of a service."""
    if _LIBRARY not in sys.modules or sys.modules[_LIBRARY] is None:
        return None
    from django_rpc.telemetry import instruments

    return instruments.served
