"""Taking back a request that no worker has begun."""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu.pidbox import Mailbox

from django_rpc.transport.connections import open_connection

__all__ = ["cancel"]

#: How long workers get to answer, and each operation on the broker's socket.
_SECONDS = 1.0


def cancel(app: Celery, request_id: str) -> bool:
    """Revoke a request at all workers; True if they were told, and none of them works on it.

    False where one does, or where no worker answered: then nobody can say that it will not run.
    """
    # Celery's own `app.control` goes through kombu's pools, which belong to everyone in the process that uses the
    # same broker, and whose connections kombu shuts down under the parent's feet in a forked child.
    with open_connection(app, _SECONDS) as connection:
        mailbox = Mailbox(app.conf.control_exchange, type="fanout", accept=["json"], serializer="json")(connection)
        mailbox.abcast("revoke", {"task_id": request_id, "terminate": False, "signal": "SIGTERM"})
        # Workers take commands in order: whoever answers the second one has obeyed the first.
        answers = mailbox.multi_call("query_task", {"ids": [request_id]}, timeout=_SECONDS) or []
    found: list[dict[str, Any]] = [tasks for answer in answers for tasks in answer.values()]
    # A worker that began it before it was told is working on it, or has answered.
    return bool(found) and not any(tasks.get(request_id, [""])[0] == "active" for tasks in found)
