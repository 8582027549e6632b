"""The worker's consumer: Celery's consumer with a check of each message, three repairs, and less work for each task."""

from __future__ import annotations

import logging
from typing import Any

from celery.worker import state
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.consumer import Control

from django_rpc.celery.control import restrict
from django_rpc.celery.envelope import Malformed, read_task
from django_rpc.celery.rejected_messages import reject
from django_rpc.transport.connections import keep_client

__all__ = ["Consumer"]

logger = logging.getLogger("django_rpc.server")


class Consumer(CeleryConsumer):
    """Celery's consumer, which forwards only messages of the schema (`envelope`), with three repairs.

    The first repair is for a broken connection to Redis with unacknowledged messages. kombu 5.7 returns them, and later
    acknowledges them, over a channel that it has already closed, so the worker ends with an AttributeError. A broken
    connection can do neither. So a message that no process has started is left to the broker, which delivers it again.
    A message in work is acknowledged over the next connection (`VisibilityHeartbeat.adopt`).

    The second repair is for a process of the pool that dies while the broker is away. Celery does not notice it, and
    Celery 5.7 ends the worker with a ValueError when it watches that process again.

    The third repair is for a process of the pool that dies before the first message is taken. Celery ends the worker
    with a WorkerLostError. The pool replaces that process, as it does later.
    """

    #: While this is 0, Celery checks if all processes have started (it adds 1 before the check).
    restart_count = 0

    def __init__(self, *args: Any, worker_options: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Disable gossip and mingle between workers, because Celery trusts the messages of both."""
        silent = {**(worker_options or {}), "without_gossip": True, "without_mingle": True}
        super().__init__(*args, worker_options=silent, **kwargs)
        for step in self.steps:
            if isinstance(step, Control):
                restrict(step.box.node)

    def loop_args(self) -> Any:
        """Repair the pool; Celery calls this for each connection, just before it watches the processes of the pool.

        A pool that has never been watched does not free the queues of a dead process, so it cannot replace the process.
        It does so when it is watched and detects that the process has ended.
        """
        pool: Any = getattr(self.pool, "_pool", None)
        if self.hub and getattr(pool, "_registered_with_event_loop", False):
            pool.maintain_pool()
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
        self._reject(message, f"it cannot be read ({type(exc).__name__})")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._reject(message, str(exc))

    def _reject(self, message: Any, reason: str) -> None:
        reject(reason)
        automatic = getattr(message.channel, "no_ack_consumers", None) or ()
        if message.delivery_info.get("consumer_tag") in automatic:
            return  # the broker has forgotten the message, and a rejection would close the channel
        if not message.acknowledged:
            message.reject_log_error(logger, self.connection_errors)

    def register_with_event_loop(self, hub: Any) -> None:
        """Run at the start and after each reconnection, when the channel that takes tasks is new."""
        keep_client(self.task_consumer.channel)  # saves two clients for each task, one of them before its start
        super().register_with_event_loop(hub)

    def on_connection_error_after_connected(self, exc: BaseException) -> Any:
        channel: Any = getattr(self.task_consumer, "channel", None)
        if hasattr(channel, "do_restore"):  # only channels that emulate acknowledgements
            channel.do_restore = False
            for request in tuple(state.reserved_requests):  # includes the requests in work
                if request in state.active_requests:
                    self.visibility_heartbeat.adopt(self, request)
                else:
                    request.acknowledged = True
        return super().on_connection_error_after_connected(exc)
