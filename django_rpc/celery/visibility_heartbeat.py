"""Messages on Redis: those of a dead worker come back within seconds, those of a live one not at all.

Redis knows no consumers.  kombu gives a message to somebody else when nobody has acknowledged it for the "visibility
time-out", which has to be longer than the longest task: an hour by default.  Here a worker says every few seconds
which messages it has, so that the time-out can be short: what a worker had when it was killed is done within the
time-out of a call, and what takes long is not begun twice.
"""

from __future__ import annotations

import logging
import time
import weakref
from typing import Any

from celery.bootsteps import StartStopStep
from celery.worker.consumer import Tasks

__all__ = ["REDIS_OPTIONS", "Hold"]

logger = logging.getLogger("django_rpc.server")

#: Of what nobody has said for this long that he has it, its worker is dead.
VISIBLE_SECONDS = 15
#: How many times within that a worker says so, and looks for what others do not have any more.
_TIMES = 4
#: kombu's options.  Workers of other programs on the same Redis hold nothing: their messages are not ours to give back.
REDIS_OPTIONS = {
    "visibility_timeout": VISIBLE_SECONDS,
    "unacked_key": "django_rpc:unacked",
    "unacked_index_key": "django_rpc:unacked:index",
    "unacked_mutex_key": "django_rpc:unacked:mutex",
    # A worker that dies while it gives messages back must not keep the others from it for kombu's five minutes.
    "unacked_mutex_expire": 10,
}
#: Messages that are given back at a time.
_BATCH = 1000


class Hold(StartStopStep):
    """A step of the worker's consumer, started for each connection to the broker."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._timer: Any = None
        #: Tasks in work whose message came over a connection that is gone.
        self._orphans: weakref.WeakSet[Any] = weakref.WeakSet()
        consumer.hold = self

    def start(self, consumer: Any) -> None:
        channel = consumer.task_consumer.channel
        if hasattr(getattr(channel, "qos", None), "restore_visible"):  # Redis, with acknowledgements
            seconds = channel.visibility_timeout / _TIMES
            self._timer = consumer.timer.call_repeatedly(seconds, self.tell, (consumer,))

    def stop(self, consumer: Any) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def adopt(self, consumer: Any, request: Any) -> None:
        """Have a task in work acknowledge its message over the connection of that time, and hold it until then."""
        tag = request.message.delivery_tag

        def acknowledge(*_: Any, **__: Any) -> None:
            self._settle(consumer, request, lambda qos: qos._remove_from_indices(tag).execute())

        def reject(logger: Any, errors: Any, requeue: bool = False) -> None:
            if requeue:
                self._settle(consumer, request, lambda qos: qos.restore_by_tag(tag, leftmost=True))
            else:
                acknowledge()

        request._on_ack, request._on_reject = acknowledge, reject
        self._orphans.add(request)

    def _settle(self, consumer: Any, request: Any, settle: Any) -> None:
        self._orphans.discard(request)
        channel = getattr(consumer.task_consumer, "channel", None)
        if channel is None:
            return  # there is no connection now: it comes back, and what was done is found done
        try:
            settle(channel.qos)
        except channel.connection_errors:
            logger.warning("Redis was lost when request %s had ended: its message comes again.", request.id)

    def tell(self, consumer: Any) -> None:
        """Say what this worker has, and give back what no worker has."""
        channel = consumer.task_consumer.channel
        held = {*channel.qos._delivered, *(request.message.delivery_tag for request in self._orphans)}
        try:
            if held:
                with channel.conn_or_acquire() as client:
                    # Only those that are still there: others have been acknowledged meanwhile.
                    client.zadd(channel.unacked_index_key, dict.fromkeys(held, time.time()), xx=True)
            channel.qos.restore_visible(num=_BATCH, interval=1)
        except channel.connection_errors:
            logger.debug("Redis is away; the worker's own loop connects again.", exc_info=True)
