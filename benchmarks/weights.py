"""Bytes of the messages of chords in a row: all messages of this package, and the first ones of Celery's canvas."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from celery import Celery, chain, chord, group, signals

from django_rpc.client.execute import compute
from django_rpc.client.session import Session
from django_rpc.graph.delayed.delayed import Delayed
from django_rpc.graph.delayed.runner import Output
from django_rpc.graph.nodes import ModelSource
from django_rpc.transport.base import Reply, Transport
from django_rpc.transport.registry import put_in_place
from django_rpc.wire.forwarding import Deposit, encode_deposit

__all__ = ["WIDTH", "of_celery", "ours"]

#: Services that work at the same time, and feed the next one.
WIDTH = 4
_HEADS = [f"head{number}" for number in range(WIDTH)]
_SETTINGS = {"BROKER_URL": "redis://127.0.0.1:1/", "RESULT_BACKEND": "redis://127.0.0.1:1/", "TIMEOUT": 30}


class _Unanswered(Exception):
    """All messages that the client sends before its first wait are weighed."""


class _NoReply(Reply):
    def wait(self, timeout: float | None) -> bytes:
        raise _Unanswered

    def ready(self) -> bool:
        return False

    def cancel(self) -> bool:
        return True


class _Scale(Transport):
    """Transport that weighs the messages, and sends none."""

    can_deposit = True

    def __init__(self) -> None:
        self.weight = 0
        self.texts: list[bytes] = []

    def send(self, request: bytes, request_id: str, options: Any, **more: Any) -> Reply:
        self.texts.append(request)
        self.weight += len(request)
        return _NoReply()

    def deposit(
        self, request: bytes, request_id: str, options: Any, waiting: Any, token: Any, headers: Any = None
    ) -> Reply:
        """Weigh a message that waits for values; a service publishes it."""
        self.texts.append(request)
        self.weight += len(request) + len(encode_deposit(Deposit(request.decode(), token, 1.0)))
        return _NoReply()


def _plan(chords: int) -> Delayed:
    value: Any = 1
    for _ in range(chords):
        heads = [Delayed(ModelSource("shop.Order", name)).filter(total=value).count() for name in _HEADS]
        body = Delayed(ModelSource("shop.Order", "body"))
        value = body.filter(**{f"n{number}": head for number, head in enumerate(heads)}).count()
    return value


def ours(chords: int) -> tuple[int, list[bytes]]:
    """Return the bytes of all messages of this many chords in a row, and the requests."""
    names = [*_HEADS, "body"]
    sessions = {name: Session({**_SETTINGS, "DEFAULT_QUEUE_NAME": name}, alias=name) for name in names}
    scale = _Scale()
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(put_in_place(name, scale))
        with contextlib.suppress(_Unanswered):
            compute([Output(_plan(chords).__rpc_node__())], list(sessions.values()))
    return scale.weight, scale.texts


def of_celery(chords: int, text: str) -> int:
    """Return the bytes that a client publishes for this many chords of Celery with ``text`` as the argument."""
    app = Celery("weights", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.update(task_serializer="json", accept_content=["json"])

    @app.task(name="weights.task", shared=False)
    def task(value: Any) -> None:
        """Never run."""

    sent: list[int] = []

    def weigh(body: Any = None, **more: Any) -> None:
        sent.append(len(json.dumps(body)))

    signals.before_task_publish.connect(weigh)
    try:
        chain(*[chord(group(task.si(text) for _ in range(WIDTH)), task.si(text)) for _ in range(chords)]).apply_async()
    finally:
        signals.before_task_publish.disconnect(weigh)
    return sum(sent)
