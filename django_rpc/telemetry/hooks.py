"""Hooks for messages at both ends: the audit log, spans, metrics, and observers of a project.

An observer is a function. It is called with each message at its beginning. It returns a function that is called with
the same message at its end, or None. The setting OBSERVERS lists the dotted paths of the observers of a process; its
default is `OF_SERVER` or `OF_CLIENT`.

>>> def slow(message):
...     return lambda message: message.seconds > 1 and print(message.method, message.outcome)
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from django_rpc.telemetry import operations
from django_rpc.wire.messages import Request, TraceEntry

__all__ = ["OF_CLIENT", "OF_SERVER", "Ends", "Observer", "Sent", "Served", "begin", "end", "load"]

logger = logging.getLogger("django_rpc.telemetry")

#: Default observers of a service, and of a client.
OF_SERVER = (
    "django_rpc.telemetry.audit.audit",
    "django_rpc.telemetry.tracing.served",
    "django_rpc.telemetry.metrics.served",
)
OF_CLIENT = ("django_rpc.telemetry.tracing.sent", "django_rpc.telemetry.metrics.sent")

Observer = Callable[[Any], Callable[[Any], object] | None]
M = TypeVar("M", "Sent", "Served")
Ends = list[Callable[[Any], object]]


class _ObservedMessage(msgspec.Struct, kw_only=True):
    """Data of a message at either end, completed until its end."""

    request: Request | None = None
    #: Headers next to the request, such as those of a trace. At the client, an observer can add headers.
    headers: Mapping[str, Any] = {}
    bytes_of_request: int = 0
    bytes_of_answer: int = 0
    started: float = msgspec.field(default_factory=time.perf_counter)
    #: Outcome from a closed list, and the code of the error.
    outcome: str = "unknown"
    code: str = ""

    @property
    def seconds(self) -> float:
        """Return the seconds since the beginning of the message."""
        return time.perf_counter() - self.started

    @property
    def method(self) -> str:
        """Return the method of the request, without values: ``shop.Order.first``."""
        return "" if self.request is None else operations.method(self.request)

    @property
    def operation(self) -> str:
        """Return the kind of the request, from the closed list `operations.KINDS`; "" if the request is unreadable."""
        return "" if self.request is None else operations.kind(self.request)


class Sent(_ObservedMessage, kw_only=True):
    """Message at the client.

    ``outcome`` is ``done``, ``failed`` (the answer is an error), ``lost`` (no answer), ``cancelled`` or ``unread``.
    """

    service: str
    queue: str = ""
    headers: dict[str, Any] = {}
    error: Exception | None = None
    #: Bytes of the request, and the SQL statements of the service, if a hook of the client wants them.
    data: bytes = b""
    trace: tuple[TraceEntry, ...] = ()


class Served(_ObservedMessage, kw_only=True):
    """Message at the service.

    ``outcome`` is ``done``, ``refused``, ``failed`` (writes are rolled back), ``again`` (the first answer was sent
    again) or ``unknown``. ``client`` is the client that has proved to be the sender, or empty. ``reason`` must not be
    sent to the client. ``refusals`` are the codes of refused values in an answered message.
    """

    message_id: str = ""
    client: str = ""
    reason: str = ""
    refusals: tuple[str, ...] = ()
    #: Number of read rows, of SQL statements, and of written rows by model (without rows that were rolled back).
    rows: int = 0
    statements: int = 0
    written: Mapping[str, int] = {}

    def refuse(self, code: str, reason: str = "") -> None:
        """Set the outcome to ``refused``."""
        self.outcome, self.code, self.reason = "refused", code, reason


def load(paths: Iterable[str]) -> tuple[Observer, ...]:
    """Return the observers with these dotted paths; raise ValueError for a path without an observer."""
    return tuple([_loaded(path) for path in paths])


def _loaded(path: str) -> Observer:
    module, _, name = path.rpartition(".") if isinstance(path, str) else ("", "", "")
    try:
        observer: Observer = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{path!r} is not the dotted path of an observer: {error}") from error
    if not callable(observer):
        raise ValueError(f"{path!r} is {observer!r}: an observer is a function of a message.")
    return observer


def begin(observers: Iterable[Observer], message: M) -> Ends:
    """Call the observers with a message that begins, and return the functions for its end; log failing observers."""
    ends: Ends = []
    for observer in observers:
        try:
            at_end = observer(message)
        except Exception:
            logger.exception("An observer failed at the beginning of a message: %r", observer)
            continue
        if at_end is not None:
            ends.append(at_end)
    return ends


def end(ends: Ends, message: M) -> None:
    """Call the functions for the end of a message, in the reverse order of their observers."""
    for at_end in reversed(ends):
        try:
            at_end(message)
        except Exception:
            logger.exception("An observer failed at the end of a message: %r", at_end)
