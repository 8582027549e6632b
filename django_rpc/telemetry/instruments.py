"""Counters and histograms of Prometheus; `metrics` imports them if the program uses its library.

docs/howto/observe.md has a table of them. Labels are names from the settings (services, clients) and from closed lists
(operations, outcomes, codes). Data of a client never becomes a label.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from django_rpc.telemetry.hooks import Sent, Served

__all__ = ["sent", "served"]

#: Buckets in seconds: a call takes a few milliseconds, and the default timeout is 30 seconds.
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_CALLS = Counter("django_rpc_client_requests_total", "Messages to a service that have ended.", ["service", "outcome"])
_CALL_SECONDS = Histogram(
    "django_rpc_client_request_seconds",
    "From before a message is sent until its answer is read.",
    ["service"],
    buckets=_BUCKETS,
)
_SENT = Counter("django_rpc_client_sent_bytes_total", "Bytes of requests.", ["service"])
_RECEIVED = Counter("django_rpc_client_received_bytes_total", "Bytes of answers.", ["service"])
_UNDER_WAY = Gauge(
    "django_rpc_client_requests_in_progress",
    "Messages without an answer so far.",
    ["service"],
    multiprocess_mode="livesum",
)

_REQUESTS = Counter(
    "django_rpc_server_requests_total",
    "Answered messages, by operation and outcome.",
    ["client", "operation", "outcome"],
)
_SECONDS = Histogram("django_rpc_server_request_seconds", "Time at work on a message.", ["operation"], buckets=_BUCKETS)
_STATEMENTS = Counter("django_rpc_server_sql_statements_total", "SQL statements that ran for messages.", ["client"])
_ROWS = Counter("django_rpc_server_rows_read_total", "Rows that were read for messages.", ["client"])
_WRITTEN = Counter("django_rpc_server_rows_written_total", "Rows that messages wrote, cascades included.", ["client"])
_REFUSALS = Counter(
    "django_rpc_server_refusals_total", "Refused messages, and refused values of other messages.", ["client", "code"]
)


@functools.lru_cache(maxsize=1024)
def _of(metric: Any, *labels: str) -> Any:
    """Return ``metric.labels(...)`` from a cache."""
    return metric.labels(*labels)


def sent(message: Sent) -> Callable[[Sent], object]:
    """Count a message that a client begins to send."""
    _of(_UNDER_WAY, message.service).inc()
    return _sent


def _sent(message: Sent) -> None:
    service = message.service
    _of(_UNDER_WAY, service).dec()
    _of(_CALLS, service, message.outcome).inc()
    _of(_CALL_SECONDS, service).observe(message.seconds)
    _of(_SENT, service).inc(message.bytes_of_request)
    _of(_RECEIVED, service).inc(message.bytes_of_answer)


def served(message: Served) -> None:
    """Count a message that a service has answered."""
    client, operation = message.client, message.operation
    _of(_REQUESTS, client, operation, message.outcome).inc()
    _of(_SECONDS, operation).observe(message.seconds)
    for metric, number in (
        (_STATEMENTS, message.statements),
        (_ROWS, message.rows),
        (_WRITTEN, sum(message.written.values())),
    ):
        if number:
            _of(metric, client).inc(number)
    for code in {*message.refusals, *([message.code] if message.outcome == "refused" else [])}:
        _of(_REFUSALS, client, code).inc()
