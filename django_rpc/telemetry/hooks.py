"""Who is told of each message, at either end: the audit log, spans, metrics, and what a project adds.

An observer is a function.  It is called with a message when that begins, and returns what is to be called with the
same message at its end, or None where it does not want to know.  The setting OBSERVERS names those of a process by
their dotted paths; those below are there where it does not say otherwise.

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
from django_rpc.wire.messages import Request

__all__ = ["OF_CLIENT", "OF_SERVER", "Ends", "Observer", "Sent", "Served", "begin", "end", "load"]

logger = logging.getLogger("django_rpc.telemetry")

#: The observers of a service, and of a client, unless OBSERVERS names others.
OF_SERVER = (
    "django_rpc.telemetry.audit.audit",
    "django_rpc.telemetry.tracing.served",
    "django_rpc.telemetry.metrics.served",
)
OF_CLIENT = ("django_rpc.telemetry.tracing.sent", "django_rpc.telemetry.metrics.sent")

Observer = Callable[[Any], Callable[[Any], object] | None]
M = TypeVar("M", "Sent", "Served")
Ends = list[Callable[[Any], object]]


class _Message(msgspec.Struct, kw_only=True):
    """What both ends know of a message; filled in while it is under way."""

    request: Request | None = None
    #: In plain text beside the message, such as the trace that it belongs to.  At the client: to be sent with it.
    headers: Mapping[str, Any] = {}
    bytes_of_request: int = 0
    bytes_of_answer: int = 0
    started: float = msgspec.field(default_factory=time.perf_counter)
    #: What became of it, of a closed list, and the code of its error.
    outcome: str = "unknown"
    code: str = ""

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self.started

    @property
    def method(self) -> str:
        """What it asks for, without a value: ``shop.Order.first``."""
        return "" if self.request is None else operations.method(self.request)

    @property
    def operation(self) -> str:
        """What it does, of a closed list (`operations.KINDS`); empty where it could not be read."""
        return "" if self.request is None else operations.kind(self.request)


class Sent(_Message, kw_only=True):
    """A message at the client.

    ``outcome`` is ``done``, ``failed`` (answered by an error), ``lost`` (not answered), ``cancelled`` or ``unread``.
    """

    service: str
    queue: str = ""
    headers: dict[str, Any] = {}
    error: Exception | None = None


class Served(_Message, kw_only=True):
    """A message at the service.

    ``outcome`` is ``done``, ``refused``, ``failed`` (writes are rolled back), ``again`` (the first answer was given
    again) or ``unknown``.  ``client`` is who has proved to have sent it, empty where nobody has; ``reason`` is for the
    service's own eyes.  ``refusals`` are the codes of single values that were refused, of one that was answered.
    """

    message_id: str = ""
    client: str = ""
    reason: str = ""
    refusals: tuple[str, ...] = ()
    #: Rows that were read, SQL statements that ran, rows that were written and are there, by model.
    rows: int = 0
    statements: int = 0
    written: Mapping[str, int] = {}

    def refuse(self, code: str, reason: str = "") -> None:
        """It is not answered with what it asks for."""
        self.outcome, self.code, self.reason = "refused", code, reason


def load(paths: Iterable[str]) -> tuple[Observer, ...]:
    """The observers with these dotted paths; raises ValueError, which says what is wrong, for a path to none."""
    return tuple([_loaded(path) for path in paths])


def _loaded(path: str) -> Observer:
    module, _, name = path.rpartition(".") if isinstance(path, str) else ("", "", "")
    try:
        found: Observer = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{path!r} is not the dotted path of an observer: {error}") from error
    if not callable(found):
        raise ValueError(f"{path!r} is {found!r}: an observer is a function of a message.")
    return found


def begin(observers: Iterable[Observer], message: M) -> Ends:
    """Tell that a message has begun; returns what wants to know of its end.  An observer that fails stops nobody."""
    ends: Ends = []
    for observer in observers:
        try:
            wanted = observer(message)
        except Exception:
            logger.exception("An observer failed at the beginning of a message: %r", observer)
            continue
        if wanted is not None:
            ends.append(wanted)
    return ends


def end(ends: Ends, message: M) -> None:
    """Tell that a message has ended, to the last that began first."""
    for wanted in reversed(ends):
        try:
            wanted(message)
        except Exception:
            logger.exception("An observer failed at the end of a message: %r", wanted)
