"""What the messages of chords in a row weigh: ours, all of them, and the first ones of Celery's own canvas."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from celery import Celery, chain, chord, group, signals

from django_rpc.client.execute import Run
from django_rpc.client.session import Session
from django_rpc.graph.delayed.delayed import Delayed
from django_rpc.graph.delayed.runner import Output
from django_rpc.graph.nodes import ModelSource
from django_rpc.transport.base import put_in_place
from django_rpc.wire.forwarding import Deposit, encode_deposit

__all__ = ["WIDTH", "of_celery", "ours"]

#: Services that work at the same time, and feed the next one.
WIDTH = 4
_HEADS = [f"head{number}" for number in range(WIDTH)]
_SETTINGS = {"BROKER_URL": "redis://127.0.0.1:1/", "RESULT_BACKEND": "redis://127.0.0.1:1/", "TIMEOUT": 30}


class _Scale:
    """A transport that weighs what it is given, and sends nothing."""

    def __init__(self) -> None:
        self.weight = 0
        self.texts: list[bytes] = []

    def send(self, request: bytes, request_id: str, options: Any, **more: Any) -> Any:
        self.texts.append(request)
        self.weight += len(request)

    def deposit(self, request: bytes, request_id: str, options: Any, waiting: Any, token: Any) -> Any:
        """It is put where its values come together, and published from there."""
        self.texts.append(request)
        self.weight += len(request) + len(encode_deposit(Deposit(request.decode(), token, 1.0)))


def _plan(chords: int, sessions: dict[str, Session]) -> Delayed:
    value: Any = 1
    for _ in range(chords):
        heads = [
            Delayed(ModelSource("shop.Order", name), sessions[name]).filter(total=value).count() for name in _HEADS
        ]
        body = Delayed(ModelSource("shop.Order", "body"), sessions["body"])
        value = body.filter(**{f"n{number}": head for number, head in enumerate(heads)}).count()
    return value


def ours(chords: int) -> tuple[int, list[bytes]]:
    """The bytes of all messages of so many chords in a row, and the requests among them."""
    names = [*_HEADS, "body"]
    sessions = {name: Session({**_SETTINGS, "DEFAULT_QUEUE_NAME": name}, alias=name) for name in names}
    scale = _Scale()
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(put_in_place(name, scale))
        run = Run([Output(_plan(chords, sessions).__rpc_node__())], list(sessions.values()), None, False)
        run.send_first()
    return scale.weight, scale.texts


def of_celery(chords: int, text: str) -> int:
    """The bytes of what a client publishes for as many chords of Celery, whose tasks have ``text`` to work on."""
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
