"""Heartbeat of unacknowledged messages on Redis: messages of a dead worker are delivered again within seconds.

Redis does not track consumers. kombu delivers a message again if it has not been acknowledged within the "visibility
timeout", which must be longer than the longest task (one hour by default). Here each worker renews the time of its
messages every few seconds, so the timeout can be short. After a kill, the messages of a worker are processed within the
timeout of a call. A long request is not begun twice.
"""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable
from typing import Any

from celery.bootsteps import StartStopStep
from celery.worker.consumer import Tasks

from django_rpc.celery.compat import (
    forget_unacknowledged,
    redirect_acknowledgement,
    restore_dead,
    restore_unacknowledged,
    tracks_visibility,
    unacknowledged_tags,
)

__all__ = ["REDIS_OPTIONS", "VisibilityHeartbeat"]

logger = logging.getLogger("django_rpc.server")

#: Seconds after the last heartbeat when the worker of a message is considered dead.
VISIBLE_SECONDS = 15
#: Number of heartbeats in this time. At each heartbeat a worker also restores the messages of dead workers.
_TIMES = 4
#: Options of kombu. The keys are separate, because workers of other programs on the same Redis send no heartbeats.
REDIS_OPTIONS = {
    "visibility_timeout": VISIBLE_SECONDS,
    "unacked_key": "django_rpc:unacked",
    "unacked_index_key": "django_rpc:unacked:index",
    "unacked_mutex_key": "django_rpc:unacked:mutex",
    # kombu's lock lasts five minutes after the death of a worker that restores messages.
    "unacked_mutex_expire": 10,
}
#: Number of messages that one heartbeat restores.
_BATCH = 1000


class VisibilityHeartbeat(StartStopStep):
    """Step of the worker's consumer, started for each connection to the broker."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._timer: Any = None
        #: Requests in work that arrived over a connection that broke.
        self._orphans: weakref.WeakSet[Any] = weakref.WeakSet()
        consumer.visibility_heartbeat = self

    def start(self, consumer: Any) -> None:
        channel = consumer.task_consumer.channel
        if tracks_visibility(channel):
            seconds = channel.visibility_timeout / _TIMES
            self._timer = consumer.timer.call_repeatedly(seconds, self.beat, (consumer,))

    def stop(self, consumer: Any) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def adopt(self, consumer: Any, request: Any) -> None:
        """Acknowledge the message of a request in work over the current connection, and renew its time until then."""

        def acknowledge(*_: Any, **__: Any) -> None:
            self._settle(consumer, request, forget_unacknowledged)

        def reject(logger: Any, errors: Any, requeue: bool = False) -> None:
            if requeue:
                self._settle(consumer, request, restore_unacknowledged)
            else:
                acknowledge()

        redirect_acknowledgement(request, acknowledge, reject)
        self._orphans.add(request)

    def _settle(self, consumer: Any, request: Any, settle: Callable[[Any, Any], None]) -> None:
        self._orphans.discard(request)
        channel = getattr(consumer.task_consumer, "channel", None)
        if channel is None:
            return  # without a connection, the message is delivered again, and a write has its answer in the ledger
        try:
            settle(channel, request.message.delivery_tag)
        except channel.connection_errors:
            logger.warning("Redis was lost at the end of request %s, so its message is delivered again.", request.id)

    def beat(self, consumer: Any) -> None:
        """Renew the time of this worker's messages, and restore messages of dead workers."""
        channel = consumer.task_consumer.channel
        tags = {*unacknowledged_tags(channel), *(request.message.delivery_tag for request in self._orphans)}
        try:
            if tags:
                with channel.conn_or_acquire() as client:
                    # XX: messages that were acknowledged in the meantime must not be added again.
                    client.zadd(channel.unacked_index_key, dict.fromkeys(tags, time.time()), xx=True)
            restore_dead(channel, _BATCH)
        except channel.connection_errors:
            logger.debug("Redis is unavailable; the worker's loop connects again.", exc_info=True)
