"""Taking back a request that no worker has begun."""

from __future__ import annotations

from typing import Any

from celery import Celery

__all__ = ["cancel"]

#: How long workers get to answer.
_SECONDS = 1.0


def cancel(app: Celery, request_id: str) -> bool:
    """Revoke a request at all workers; True if they know of it and none has begun it, or if all were told.

    False where a worker works on it, or where no worker answered: then nobody can say that it will not run.
    """
    told: list[Any] = app.control.revoke(request_id, reply=True, timeout=_SECONDS) or []
    if not told:
        return False
    # A worker that began it before it was told is working on it, or has answered.
    found: dict[str, Any] = app.control.inspect(timeout=_SECONDS).query_task(request_id) or {}
    states = [tasks[request_id][0] for tasks in found.values() if request_id in tasks]
    return "active" not in states
