"""The worker's consumer: Celery's consumer with a check of each message, three repairs, and less work for each task."""

from __future__ import annotations

import logging
from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.consumer import Control

from django_rpc.celery.compat import is_automatically_acknowledged, leave_to_broker, replace_dead_processes
from django_rpc.celery.control import restrict
from django_rpc.celery.envelope import Malformed, read_task
from django_rpc.celery.rejected_messages import reject
from django_rpc.transport.compat import keep_client

__all__ = ["Consumer"]

logger = logging.getLogger("django_rpc.server")


class Consumer(CeleryConsumer):
    """Celery's consumer, which forwards only messages of the schema (`envelope`), with repairs of three losses.

    - The connection to Redis breaks while messages are unacknowledged (`compat.leave_to_broker`).
    - A process of the pool dies while the broker is unavailable (`compat.replace_dead_processes`).
    - A process of the pool dies before the first message is taken (``restart_count``).
    """

    #: Celery starts with -1 and adds 1 for each connection. At 0 it checks if all processes of the pool have started.
    #: Celery 5.4 to 5.7 ends the worker with a WorkerLostError for a process that died. Without the check the pool
    #: replaces the process, as it does later.
    restart_count = 0

    def __init__(self, *args: Any, worker_options: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Disable gossip and mingle between workers, because Celery trusts the messages of both."""
        silent = {**(worker_options or {}), "without_gossip": True, "without_mingle": True}
        super().__init__(*args, worker_options=silent, **kwargs)
        for step in self.steps:
            if isinstance(step, Control):
                restrict(step.box.node)

    def loop_args(self) -> Any:
        """Repair the pool; Celery calls this for each connection, just before it watches the processes of the pool."""
        replace_dead_processes(self)
        return super().loop_args()

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Any:
        handle = super().create_task_handler(*args, **kwargs)

        def on_task_received(message: Any) -> None:
            try:
                task = read_task(message.headers, message.properties, message.body, message.content_type)
                message.headers, message.properties, message.body = task.headers, task.properties, task.body
                message.content_encoding = "utf-8"
                if task.headers["task"] in self.app.tasks:
                    handle(message)
                else:
                    self._reject(message, f"this worker has no task {task.headers['task']}")
            except (*self.connection_errors, *self.channel_errors):
                raise
            except Malformed as error:
                self._reject(message, str(error))
            except Exception as error:  # the schema has a gap: the message must not end the worker
                logger.exception("Celery could not take a message of the schema.")
                self._reject(message, f"Celery could not take it ({type(error).__name__})")

        return on_task_received

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Reject a message that kombu cannot read; it is the raw message if kombu could not build a message."""
        self._reject(message, str(exc) if isinstance(exc, Malformed) else f"it cannot be read ({type(exc).__name__})")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._reject(message, str(exc))

    def _reject(self, message: Any, reason: str) -> None:
        reject(reason)
        if not message.acknowledged and not is_automatically_acknowledged(message):
            message.reject_log_error(logger, self.connection_errors)

    def register_with_event_loop(self, hub: Any) -> None:
        """Run at the start and after each reconnection, when the channel that takes tasks is new."""
        keep_client(self.task_consumer.channel)  # saves two clients for each task, one of them before its start
        super().register_with_event_loop(hub)

    def on_connection_error_after_connected(self, exc: BaseException) -> Any:
        for request in leave_to_broker(getattr(self.task_consumer, "channel", None)):
            self.visibility_heartbeat.adopt(self, request)
        return super().on_connection_error_after_connected(exc)
