"""The worker's consumer: Celery's own, which survives the loss of a Redis broker in the middle of a call."""

from __future__ import annotations

from typing import Any

from celery.worker import state
from celery.worker.consumer import Consumer as CeleryConsumer

__all__ = ["Consumer"]


class Consumer(CeleryConsumer):
    """Celery's consumer with one repair.

    When the connection to Redis breaks while messages are unacknowledged, kombu 5.7 gives them back, and later
    acknowledges them, over a channel that it has taken apart before: the worker ends with an AttributeError.
    Neither can be done over a broken connection.  So messages in work are finished and not acknowledged; they and
    the others come back by the visibility time-out, and have expired by then.
    """

    def on_connection_error_after_connected(self, exc: BaseException) -> Any:
        channel = getattr(self.task_consumer, "channel", None)
        if hasattr(channel, "do_restore"):  # only channels that emulate acknowledgements
            channel.do_restore = False
            for request in tuple(state.reserved_requests):  # those in work are among them
                request.acknowledged = True
        return super().on_connection_error_after_connected(exc)
