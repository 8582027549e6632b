"""The worker's consumer: Celery's own, which survives the loss of a Redis broker in the middle of a call."""

from __future__ import annotations

from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer

__all__ = ["Consumer"]


class Consumer(CeleryConsumer):
    """Celery's consumer with one repair.

    When the connection to Redis breaks while messages are unacknowledged, kombu 5.7 tries to give them back over a
    channel that it has taken apart before, and the worker ends with an AttributeError.  They cannot be given back
    over a broken connection: those in work are finished, the others come back by the visibility time-out, or expire.
    """

    def on_connection_error_after_connected(self, exc: BaseException) -> Any:
        channel = getattr(self.task_consumer, "channel", None)
        if hasattr(channel, "do_restore"):  # only channels that emulate acknowledgements
            channel.do_restore = False
        return super().on_connection_error_after_connected(exc)
