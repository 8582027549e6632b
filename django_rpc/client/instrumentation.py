"""Hook that calls an observer of the settings (`django_rpc.telemetry`) for each message of a client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from django_rpc import errors
from django_rpc.client.hooks import Hook, MessageEnd
from django_rpc.telemetry.hooks import Observer, Sent, begin, end

if TYPE_CHECKING:
    from django_rpc.client.execute import Run

__all__ = ["WEATHER", "ObserverHook"]

#: Errors of the transport, in contrast to errors of a service.
WEATHER = (
    errors.BadResponse,
    errors.BrokerUnavailable,
    errors.ResultBackendUnavailable,
    errors.RpcTimeout,
    errors.VersionMismatch,
    errors.WorkerLost,
)


@dataclass(frozen=True, slots=True)
class ObserverHook(Hook):
    """Hook for one observer. Hooks of equal observers are equal, so that a plan of several services has one of them."""

    observer: Observer
    wants_sql: ClassVar[bool] = False

    def plan_begins(self, run: Run) -> Hook | None:
        """Return the hook of the observer for a plan of several stages, such as `telemetry.tracing.PlanSpans`."""
        begin_plan = getattr(self.observer, "plan", None)  # an observer is any function, and may have this attribute
        if begin_plan is None or run.is_one_message:
            return None
        hook: Hook | None = begin_plan(len(run.plan.stages), len(run.plan.messages))
        return hook

    def message_begins(self, message: Sent) -> MessageEnd | None:
        ends = begin((self.observer,), message)
        return _Observation(message, ends[0]) if ends else None


class _Observation:
    """End of a message for one observer, which is called once."""

    __slots__ = ("_at_end", "_message")

    def __init__(self, message: Sent, at_end: MessageEnd) -> None:
        self._message = message
        self._at_end: MessageEnd | None = at_end

    def __call__(self, message: Sent) -> None:
        error = message.error
        outcome = "done"
        if isinstance(error, errors.CallCancelled):
            outcome = "cancelled"
        elif error is not None:
            outcome = "lost" if isinstance(error, WEATHER) else "failed"
        if outcome == "lost" and not message.code:
            message.code = type(error).__name__
        self._report(outcome)

    def _report(self, outcome: str) -> None:
        at_end, self._at_end = self._at_end, None
        if at_end is not None:
            self._message.outcome = outcome
            end([at_end], self._message)

    def __del__(self) -> None:
        """Report a message without a wait for its answer."""
        self._report("unread")
