"""Calls of the observers (`django_rpc.telemetry`) for the messages of a client."""

from __future__ import annotations

from django_rpc import errors
from django_rpc.telemetry import hooks
from django_rpc.telemetry.hooks import Sent
from django_rpc.wire.messages import Request

__all__ = ["WEATHER", "Observed"]

#: Errors of the transport, in contrast to errors of a service.
WEATHER = (
    errors.BadResponse,
    errors.BrokerUnavailable,
    errors.ResultBackendUnavailable,
    errors.RpcTimeout,
    errors.VersionMismatch,
    errors.WorkerLost,
)


class Observed:
    """Message under observation, from before its sending until its outcome is known."""

    __slots__ = ("_ends", "sent")

    def __init__(self, observers: tuple[hooks.Observer, ...], service: str, queue: str, request: Request) -> None:
        self.sent = Sent(service=service, queue=queue, request=request)
        self._ends = hooks.begin(observers, self.sent)

    def end(self, error: Exception | None) -> None:
        """Report the outcome to the observers, once: after a timeout a second wait may follow."""
        outcome = "done"
        if isinstance(error, errors.CallCancelled):
            outcome = "cancelled"
        elif error is not None:
            outcome = "lost" if isinstance(error, WEATHER) else "failed"
        self._end(outcome, error)

    def _end(self, outcome: str, error: Exception | None) -> None:
        ends, self._ends = self._ends, []
        if ends:
            sent = self.sent
            sent.outcome, sent.error = outcome, error
            if outcome == "lost" and not sent.code:
                sent.code = type(error).__name__
            hooks.end(ends, sent)

    def __del__(self) -> None:
        """Report a message without a wait for its answer."""
        if self._ends:
            self._end("unread", None)
