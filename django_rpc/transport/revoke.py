"""Revocation of a request that no worker has begun."""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu.pidbox import Mailbox

from django_rpc.transport.connections import open_connection

__all__ = ["cancel"]

#: Longest wait for the answers of the workers, and for one operation on the socket of the broker.
_SECONDS = 1.0


def cancel(app: Celery, request_id: str) -> bool:
    """Revoke a request at all workers. Return True if they answered, and none of them works on the request.

    Return False if a worker works on it, or if no worker answered, because then the request may still run.
    """
    # Celery's `app.control` uses kombu's connection pools. All users of the same broker in a process share them, and
    # in a forked child kombu shuts down their connections, which are those of the parent.
    with open_connection(app, _SECONDS) as connection:
        mailbox = Mailbox(app.conf.control_exchange, type="fanout", accept=["json"], serializer="json")(connection)
        mailbox.abcast("revoke", {"task_id": request_id, "terminate": False, "signal": "SIGTERM"})
        # Workers execute commands in order, so a worker that answers the second command has executed the first.
        answers = mailbox.multi_call("query_task", {"ids": [request_id]}, timeout=_SECONDS) or []
    tasks_of_workers: list[dict[str, Any]] = [tasks for answer in answers for tasks in answer.values()]
    # A worker that began the request before the revocation works on it, or has answered.
    return bool(tasks_of_workers) and not any(tasks.get(request_id, [""])[0] == "active" for tasks in tasks_of_workers)
