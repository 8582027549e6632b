"""Hooks: objects that are notified of plans and of their messages.

A hook is a subclass of `Hook`, and overrides the events that it needs. The events of a run, in their order:

- ``plan_begins``: before the first message, in the thread of the caller. An exception refuses the plan.
- ``stage_begins``, ``stage_scope`` and ``stage_ends``: for each stage, in the thread that sends or executes it.
- ``message_begins``: before a message is encoded. It may return a function for the end of the message.
- ``plan_ends``: after the last stage, or after an error.

`Session.hooks` has the hooks of a service, and `context_hooks` those of a block of code. Errors of a hook are raised to
the caller. Only errors of observers (`django_rpc.telemetry.hooks`) are logged instead, since a project sets them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from django_rpc.client.call_record import MessageRecord
from django_rpc.graph.delayed.runner import ReportRequest
from django_rpc.graph.nodes import Node
from django_rpc.telemetry.hooks import Sent

if TYPE_CHECKING:
    from django_rpc.client.execute import Run

__all__ = ["Hook", "MessageEnd", "MessageListener", "context_hooks"]

#: Function for the end of a message. It is called at the end of each wait, so a second call may follow a timeout.
MessageEnd = Callable[[Sent], object]


class Hook:
    """Base class of hooks. Its methods do nothing. Stages are given by their numbers."""

    @property
    def wants_sql(self) -> bool:
        """Return True if answers must have the SQL statements of the service (``Sent.trace``)."""
        return False

    def plan_begins(self, run: Run) -> Hook | None:
        """Check a plan before its first message; return a hook for the further events of this run, or None."""
        return None

    def stage_begins(self, run: Run, number: int) -> None:
        """Handle the beginning of a stage."""

    def stage_scope(self, number: int) -> AbstractContextManager[Any]:
        """Return a context manager for the sending or the local execution of a stage."""
        return nullcontext()

    def stage_ends(self, run: Run, number: int) -> None:
        """Handle the values of a stage."""

    def plan_ends(self, run: Run) -> None:
        """Handle the end of a run, with its values or an error."""

    def message_begins(self, message: Sent) -> MessageEnd | None:
        """Handle a message before it is encoded; headers may be added. Return a function for its end, or None."""
        return None

    # A run has at most one hook with the following two: its profiler.

    def asking(self, number: int) -> ReportRequest | None:
        """Return the data that a stage requests from its service in addition to its values."""
        return None

    def timer(self, number: int) -> Callable[[Node, float, Any], object] | None:
        """Return a function that receives the seconds and the value of each node of a local stage."""
        return None


class MessageListener(Hook):
    """Hook that calls a function with the `MessageRecord` of each message at its end."""

    wants_sql = True

    def __init__(self, function: Callable[[MessageRecord], object]) -> None:
        self._function = function

    def message_begins(self, message: Sent) -> MessageEnd:
        return self._end

    def _end(self, message: Sent) -> None:
        self._function(MessageRecord.of(message))


#: Hooks of all runs that begin in this context.
context_hooks: ContextVar[tuple[Hook, ...]] = ContextVar("django_rpc_hooks", default=())
