"""Forwarding of values to the messages that wait for them, and publication of messages that have all their values."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from celery import Celery
from kombu import Exchange, Queue

from django_rpc.celery.envelope import extra_headers
from django_rpc.wire.forwarding import Deposit, decode_deposit
from django_rpc.wire.messages import HandOver
from django_rpc.wire.names import TASK_NAME, kept_seconds, parked_key, reply_key, task_keywords

if TYPE_CHECKING:
    from django_rpc.celery.reply_list import ReplyLists
    from django_rpc.server import Sending

__all__ = ["hand_over"]

logger = logging.getLogger("django_rpc.server")


def hand_over(app: Celery, lists: ReplyLists, origin: str, sending: Sending) -> None:
    """Give each waiting message its part of the answer to the request ``origin``.

    Raise HandOverFailed if the client has parked too many values, or if a message does not wait for these values. Raise
    errors of Redis and the broker. Only messages of the protocol's task are published, and only to the queue that the
    request named.
    """
    from django_rpc.server.conf import settings  # needs Django's settings, which Celery imports later

    left = None if sending.expires is None else sending.expires - time.time()
    seconds = kept_seconds(left, settings.HAND_OVER_SECONDS)
    if sending.handed and sending.client is not None:
        limits = sending.client.limits
        sizes = {target.to: len(values) for target, values in sending.handed}
        parked = parked_key(settings.SERVICE, sending.client.name)
        lists.reserve(parked, sizes, seconds, (limits.parked_messages, limits.parked_bytes))
    for target, values in sending.handed:
        message = lists.put(target.to, origin, values, seconds)
        if message is not None:
            _publish(app, target, decode_deposit(message))


def _publish(app: Celery, target: HandOver, deposit: Deposit) -> None:
    left = None if deposit.expires is None else deposit.expires - time.time()
    if left is not None and left <= 0:
        logger.warning(
            "A message is not forwarded: its client no longer waits for it", extra={"rpc_request": target.to}
        )
        return
    keywords: dict[str, Any] = task_keywords(reply_key(target.to), deposit.token)
    app.send_task(
        TASK_NAME,
        args=(deposit.text,),
        kwargs=keywords,
        task_id=target.to,
        # The client has declared the queue, with the options of its settings.
        queue=Queue(target.queue, Exchange(target.queue), routing_key=target.queue),
        declare=[],
        expires=left,
        ignore_result=True,
        serializer="json",
        argsrepr="(<request>,)",
        headers=extra_headers(deposit.headers),
    )
