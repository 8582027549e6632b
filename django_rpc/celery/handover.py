"""Hands the values of a request to the messages that wait for them, and publishes those that have all of theirs."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

from celery import Celery
from kombu import Exchange, Queue

from django_rpc.celery.envelope import extra_headers
from django_rpc.celery.reply import ReplyLists
from django_rpc.wire.handover import Deposit, decode_deposit
from django_rpc.wire.messages import HandOver
from django_rpc.wire.names import TASK_NAME, kept_seconds, reply_key, task_keywords

__all__ = ["hand_over"]

logger = logging.getLogger("django_rpc.server")


def hand_over(
    app: Celery, lists: ReplyLists, origin: str, handed: Iterable[tuple[HandOver, bytes]], expires: float | None
) -> None:
    """Give each message its part of what the request ``origin`` was answered; raises what Redis and the broker raise.

    Only a message of the one task of this protocol is published, to the queue that the request named.
    """
    left = None if expires is None else expires - time.time()
    for one, values in handed:
        message = lists.put(one.to, origin, values, one.waits, kept_seconds(left))
        if message is not None:
            _publish(app, one, decode_deposit(message))


def _publish(app: Celery, one: HandOver, deposit: Deposit) -> None:
    left = None if deposit.expires is None else deposit.expires - time.time()
    if left is not None and left <= 0:
        logger.warning("A message is not sent on: nobody waits for it any more", extra={"rpc_request": one.to})
        return
    keywords: dict[str, Any] = task_keywords(reply_key(one.to), deposit.token)
    app.send_task(
        TASK_NAME,
        args=(deposit.text,),
        kwargs=keywords,
        task_id=one.to,
        # The client has declared it, with the options of its settings.
        queue=Queue(one.queue, Exchange(one.queue), routing_key=one.queue),
        declare=[],
        expires=left,
        ignore_result=True,
        serializer="json",
        argsrepr="(<request>,)",
        headers=extra_headers(deposit.headers),
    )
