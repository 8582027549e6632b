"""What the observers of this service are told of its messages (`django_rpc.telemetry`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django_rpc.errors import ERRORS
from django_rpc.server.conf import settings
from django_rpc.server.core.row_counts import RowCounts
from django_rpc.server.ledger.ledger import Entry
from django_rpc.server.policy.client_policy import Policy
from django_rpc.telemetry import hooks
from django_rpc.telemetry.fields import harmless
from django_rpc.telemetry.hooks import Served
from django_rpc.wire.codec import decode_response
from django_rpc.wire.messages import ErrorReport, Response

__all__ = ["ObservedRequest", "tell"]

#: What the ledger itself says, rather than the first answer.
_SAYS = {"OutcomeUnknown": "unknown", "PartlyDone": "unknown", "RequestConflict": "refused"}
_NONE: frozenset[str] = frozenset()


def _is_refusal(code: str) -> bool:
    return code in ERRORS and ERRORS[code].is_refusal


def tell(message_id: str, outcome: str, code: str, reason: str = "") -> None:
    """Tell of a message that ends before it is read."""
    served = Served(message_id=harmless(message_id), outcome=outcome, code=code, reason=reason)
    hooks.end(hooks.begin(settings.observers, served), served)


class ObservedRequest:
    """One message that is let in, from there to its answer.

    Where nobody observes, nothing is worked out but that.
    """

    __slots__ = ("_ends", "_would", "policy", "served", "written")

    def __init__(self, message_id: str, size: int, client: str, headers: Mapping[str, Any]) -> None:
        self.served = Served(message_id=harmless(message_id), client=client, headers=headers, bytes_of_request=size)
        self._ends = hooks.begin(settings.observers, self.served)
        self._would: frozenset[str] = _NONE  # be refused, says an explanation
        self.policy: Policy | None = None
        self.written = RowCounts() if self._ends else None

    def evaluates(self, policy: Policy) -> None:
        """The policy of the request that is about to be evaluated: it knows what that costs."""
        self.policy = policy
        policy.budget.written, policy.budget.started = self.written, self.served.started

    def answered(self, response: Response | bytes, entry: Entry | None) -> None:
        """What came of it."""
        if not self._ends:
            return
        served = self.served
        if entry is not None and response is entry.answer:
            served.outcome = "done"
        elif isinstance(response, bytes):  # the ledger's
            error = decode_response(response).error
            served.code = "" if error is None else error.code
            served.outcome = _SAYS.get(served.code, "again")
        elif response.error is None:
            served.outcome = "done"
            self._would = frozenset([error.code for error in response.refused])
        else:
            self.failed(response.error)

    def failed(self, error: ErrorReport) -> None:
        """It is answered with an error; nothing of it is done."""
        outcome = "refused" if _is_refusal(error.code) else "failed"
        self.served.outcome, self.served.code = outcome, error.code
        if error.code in ERRORS and ERRORS[error.code].is_logged:
            self.served.reason = error.message

    def end(self, size: int) -> None:
        """The answer is made, and has so many bytes."""
        if not self._ends:
            return
        served, policy = self.served, self.policy
        served.bytes_of_answer = size
        if policy is not None:
            served.rows, served.statements = policy.budget.rows, policy.budget.statements
            served.refusals = tuple(sorted(filter(_is_refusal, {*self._would, *policy.failures})))
        if served.outcome == "done" and self.written is not None:
            served.written = self.written.by_model()
        hooks.end(self._ends, served)
