"""Errors that the transports share: no answer within the timeout, and a task that Celery ended without an answer."""

from __future__ import annotations

from typing import Any

from celery import states

from django_rpc.errors import BadResponse, CallCancelled, RequestExpired, RpcTimeout, WorkerLost
from django_rpc.transport.base import Options
from django_rpc.transport.config import Config

__all__ = ["failure_of", "no_answer"]


def no_answer(config: Config, request_id: str, options: Options, timeout: float | None) -> RpcTimeout:
    """Return the error for a call without an answer within its timeout."""
    queue = config.queue(priority=options.priority)
    within = "" if timeout is None else f" within {timeout:.3g} s"
    error = RpcTimeout(
        f'No answer from queue "{queue}" of {config.alias!r}{within} (request {request_id}). '
        f"Is a worker running? `celery -A django_rpc.celery.app worker -Q {queue}`"
    )
    error.request_id = request_id
    return error


def failure_of(request_id: str, state: str, value: Any) -> Exception:
    """Return the error for a task that Celery ended without an answer; ``value`` is the result that Celery stored.

    >>> failure_of("7f", "REVOKED", "expired")
    RequestExpired('Request 7f reached a worker after its timeout, and was dropped.')
    """
    shown = repr(value)
    if any(name in shown for name in ("WorkerLost", "TimeLimitExceeded", "Terminated")):
        return WorkerLost(f"The process that worked on request {request_id} has ended ({shown}).")
    if state == states.REVOKED and "expired" in shown:
        return RequestExpired(f"Request {request_id} reached a worker after its timeout, and was dropped.")
    if state == states.REVOKED:
        return CallCancelled(f"Request {request_id} was revoked ({shown}).")
    return BadResponse(
        f"Request {request_id} ended at the worker in state {state} ({shown}). "
        "Does the worker run django_rpc.celery.app, or an app on which register(app) was called?"
    )
