"""Audit log: a record of each write and each refusal, on the logger ``django_rpc.audit``.

A request has a record if it writes, ships functions, or has an unknown outcome, and if it or some of its values are
refused. Answered reads have no record. The only data of the client in a record are names of models, fields, methods and
functions. `audit_with_values` adds the writes with their values.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django_rpc.graph.format import describe
from django_rpc.telemetry import operations
from django_rpc.telemetry.fields import claims, harmless
from django_rpc.telemetry.hooks import Served

__all__ = ["audit", "audit_with_values"]

logger = logging.getLogger("django_rpc.audit")

#: Limits of the values in a record: the number of writes, and the length of the text of each.
_SHOWN, _LENGTH = 20, 500


def audit(message: Served) -> Callable[[Served], object] | None:
    """Observe a message for the audit log, if its logger accepts records of the level INFO."""
    return _note if logger.isEnabledFor(logging.INFO) else None


def audit_with_values(message: Served) -> Callable[[Served], object] | None:
    """Observe a message as `audit` does, and add the values of its writes in ``rpc_values``."""
    return _note_with_values if logger.isEnabledFor(logging.INFO) else None


def _note(message: Served, **more: Any) -> None:
    request = message.request
    done = None if request is None or request.asking == "explain" else request
    writes = [] if done is None else operations.writes(done)
    shipped = [] if done is None else operations.shipped(done)
    if not writes and not shipped and not message.refusals and message.outcome not in ("refused", "unknown"):
        return
    rows = sum(message.written.values())
    extra = {
        "rpc_request": message.message_id if request is None else harmless(request.id),
        "rpc_client": message.client,
        "rpc_outcome": message.outcome,
        "rpc_code": message.code,
        "rpc_reason": harmless(message.reason),
        "rpc_refusals": list(message.refusals),
        "rpc_operation": message.operation,
        "rpc_method": message.method,
        "rpc_writes": writes,
        "rpc_shipped": shipped,
        "rpc_rows_written": rows,
        "rpc_written": dict(message.written),
        "rpc_seconds": message.seconds,
        **({} if request is None else claims(request.client)),
        **more,
    }
    logger.info(
        "%s: %s of %s, %s, %d rows written, request %s",
        message.outcome,
        ", ".join([*writes, *(f"shipped {function}" for function in shipped)]) or message.method or "a message",
        message.client or "an unknown client",
        "; ".join(filter(None, [message.code, extra["rpc_reason"], *message.refusals])) or "no error",
        rows,
        extra["rpc_request"],
        extra=extra,
    )


def _note_with_values(message: Served) -> None:
    nodes = () if message.request is None else message.request.nodes
    shown = [node for node in nodes if node.writes][:_SHOWN]
    _note(message, rpc_values=[harmless(describe(node, _LENGTH), _LENGTH) for node in shown])
