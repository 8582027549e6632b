"""Messages that the code under test sends: `capture_messages` and `assert_num_messages`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connections

from django_rpc.client.call_record import MessageRecord
from django_rpc.client.hooks import MessageListener
from django_rpc.graph.format import describe

__all__ = ["Message", "assert_num_messages", "capture_messages"]


@dataclass(frozen=True)
class Message:
    """One message: its text, as a user would write it, and the error that it ended with."""

    text: str
    error: Exception | None
    record: MessageRecord

    def __str__(self) -> str:
        return self.text if self.error is None else f"{self.text}  -> {type(self.error).__name__}: {self.error}"


@contextlib.contextmanager
def capture_messages(using: str = "rpc") -> Iterator[list[Message]]:
    """Collect the messages that all threads of this process send to ``using`` within the block, as a list.

    >>> with capture_messages() as sent:
    ...     count = Order.objects.filter(status="paid").count()
    >>> sent[0].text
    "Order.objects.filter(status='paid').count()"
    """
    session = connections[using].session
    messages: list[Message] = []

    def listen(record: MessageRecord) -> None:
        text = "; ".join(describe(record.nodes[index]) for index in record.outputs)
        messages.append(Message(text, record.error, record))

    listener = MessageListener(listen)
    session.hooks.append(listener)
    try:
        yield messages
    finally:
        session.hooks.remove(listener)


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
    """Return a context manager, or count the messages of a call of ``func``, as ``assertNumQueries`` does."""
    if func is None:
        return assert_num_messages(num, using)
    with assert_num_messages(num, using):
        func(*args, **kwargs)
    return None
