"""The worker's consumer: Celery's own, with two repairs and with less work a task."""

from __future__ import annotations

import logging
from typing import Any

from celery.utils.saferepr import saferepr
from celery.worker import state
from celery.worker.consumer import Consumer as CeleryConsumer

from django_rpc.client.lines import keep_client

__all__ = ["Consumer"]

logger = logging.getLogger("django_rpc.server")


class Consumer(CeleryConsumer):
    """Celery's consumer, which refuses what is no message of ours and goes on, with two repairs.

    Celery's own ends the worker with the TypeError or KeyError that an odd header or body raises, and the broker gives
    the message to the next worker.

    The first repair: when the connection to Redis breaks while messages are unacknowledged, kombu 5.7 gives them back,
    and later acknowledges them, over a channel that it has taken apart before: the worker ends with an
    AttributeError.  Neither can be done over a broken connection.  So those that no process has begun are left to
    come back by themselves, and those in work are acknowledged over the next connection (`Hold.adopt`).

    The second: a process of the pool that dies while the broker is away is noticed by nobody, and Celery 5.7 ends the
    worker with a ValueError when it comes to watch that process again.
    """

    def loop_args(self) -> Any:
        """Called for each connection, just before the processes of the pool are watched."""
        replace_dead = getattr(getattr(self.pool, "_pool", None), "maintain_pool", None)
        if self.hub and replace_dead is not None:
            replace_dead()
        return super().loop_args()

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Any:
        handle = super().create_task_handler(*args, **kwargs)

        def on_task_received(message: Any) -> None:
            try:
                handle(message)
            except (*self.connection_errors, *self.channel_errors):
                raise
            except Exception as error:  # noqa: BLE001 - whatever somebody wrote into it
                self._refuse(message, f"is none of ours ({type(error).__name__})", error)

        return on_task_received

    def on_unknown_task(self, body: Any, message: Any, exc: Any) -> None:
        """Refuse it: a result would be written under whatever id it has."""
        self._refuse(
            message, f"is for the task {saferepr(message.headers.get('task'), 100)}, which this worker has not"
        )

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        self._refuse(message, f"cannot be read ({type(exc).__name__})")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._refuse(message, f"is none of ours: {saferepr(str(exc), 200)}")

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Refuse it, without its body in the log, where Celery would write it."""
        self._refuse(message, "has no form that is known")

    def _refuse(self, message: Any, why: str, error: Exception | None = None) -> None:
        logger.warning("A message on the queue %s: it was refused.", why, exc_info=error)
        if not message.acknowledged:
            message.reject_log_error(logger, self.connection_errors)

    def register_with_event_loop(self, hub: Any) -> None:
        """Called at the start and after each reconnection, when the channel that takes tasks is new."""
        keep_client(self.task_consumer.channel)  # saves two clients a task, one of them before it is begun
        super().register_with_event_loop(hub)

    def on_connection_error_after_connected(self, exc: BaseException) -> Any:
        channel = getattr(self.task_consumer, "channel", None)
        if hasattr(channel, "do_restore"):  # only channels that emulate acknowledgements
            channel.do_restore = False
            for request in tuple(state.reserved_requests):  # those in work are among them
                if request in state.active_requests:
                    self.hold.adopt(self, request)
                else:
                    request.acknowledged = True
        return super().on_connection_error_after_connected(exc)
