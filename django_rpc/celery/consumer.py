"""The worker's consumer: Celery's own, with two repairs and with less work a task."""

from __future__ import annotations

from typing import Any

from celery.worker import state
from celery.worker.consumer import Consumer as CeleryConsumer

from django_rpc.client.lines import keep_client

__all__ = ["Consumer"]


class Consumer(CeleryConsumer):
    """Celery's consumer.

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
