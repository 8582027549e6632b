"""What was sent: `capture_messages`, and `assert_num_messages` after Django's ``assertNumQueries``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connections

from django_rpc.client.call_record import MessageRecord
from django_rpc.graph.format import describe

__all__ = ["Message", "assert_num_messages", "capture_messages"]


@dataclass(frozen=True)
class Message:
    """One message: what it asked for, as its user would write it, and the error that it ended with."""

    text: str
    error: Exception | None
    record: MessageRecord

    def __str__(self) -> str:
        return self.text if self.error is None else f"{self.text}  -> {type(self.error).__name__}: {self.error}"


@contextlib.contextmanager
def capture_messages(using: str = "rpc") -> Iterator[list[Message]]:
    """A list of the messages that this process sends to ``using`` within the block, in whatever thread.

    >>> with capture_messages() as sent:
    ...     count = Order.objects.filter(status="paid").count()
    >>> sent[0].text
    "Order.objects.filter(status='paid').count()"
    """
    session = connections[using].session
    found: list[Message] = []

    def listen(record: MessageRecord) -> None:
        text = "; ".join(describe(record.nodes[index]) for index in record.outputs)
        found.append(Message(text, record.error, record))

    session.listeners.append(listen)
    try:
        yield found
    finally:
        session.listeners.remove(listen)


@contextlib.contextmanager
def assert_num_messages(num: int, using: str = "rpc") -> Iterator[list[Message]]:
    """Raises AssertionError, with the messages, unless the block sends ``num`` messages to ``using``."""
    with capture_messages(using) as sent:
        yield sent
    if len(sent) != num:
        lines = [f"{place}. {message}" for place, message in enumerate(sent, 1)]
        were = "message was" if len(sent) == 1 else "messages were"
        raise AssertionError("\n".join([f"{len(sent)} {were} sent to {using!r}, {num} expected.", *lines]))


def call_or_block(num: int, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], using: str) -> Any:
    """`assert_num_messages` as ``assertNumQueries`` is called: as a context manager, or around a call of ``func``."""
    if func is None:
        return assert_num_messages(num, using)
    with assert_num_messages(num, using):
        func(*args, **kwargs)
    return None
