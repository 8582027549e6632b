"""What the ways back have in common."""

from __future__ import annotations

from django_rpc.client.config import Config
from django_rpc.client.errors import RpcTimeout
from django_rpc.client.transport import Options

__all__ = ["no_answer"]


def no_answer(config: Config, request_id: str, options: Options, timeout: float | None) -> RpcTimeout:
    """The error for a call that nobody answered in time."""
    queue = config.queue(priority=options.priority)
    within = "" if timeout is None else f" within {timeout:.3g} s"
    error = RpcTimeout(
        f'No answer from queue "{queue}" of {config.alias!r}{within} (request {request_id}). '
        f"Is a worker running? `celery -A django_rpc.celery.app worker -Q {queue}`"
    )
    error.request_id = request_id
    return error
