"""Reports of the messages of a service to its observers (`django_rpc.telemetry`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from django_rpc.errors import ERRORS
from django_rpc.server.core.budget import Budget
from django_rpc.server.core.row_counts import RowCounts
from django_rpc.telemetry import hooks
from django_rpc.telemetry.fields import harmless
from django_rpc.telemetry.hooks import Observer, Served
from django_rpc.wire.codec import decode_response
from django_rpc.wire.messages import ErrorReport, Response

__all__ = ["ObservedRequest", "tell"]

#: Outcomes of the codes that are the ledger's answers, and not the first answer to the request.
_LEDGER_OUTCOMES = {"OutcomeUnknown": "unknown", "PartlyDone": "unknown", "RequestConflict": "refused"}
_NONE: frozenset[str] = frozenset()


class EvaluatedPolicy(Protocol):
    """The parts of a policy that observers receive: the cost of the request, and the codes of failed values."""

    failures: list[str]

    @property
    def budget(self) -> Budget: ...


class StoredAnswer(Protocol):
    """Entry of the ledger with the answer of this delivery; None if it has none."""

    answer: bytes | None


def _is_refusal(code: str) -> bool:
    return code in ERRORS and ERRORS[code].is_refusal


def tell(observers: Sequence[Observer], message_id: str, outcome: str, code: str, reason: str = "") -> None:
    """Report a message that ends before it is read."""
    served = Served(message_id=harmless(message_id), outcome=outcome, code=code, reason=reason)
    hooks.end(hooks.begin(observers, served), served)


class ObservedRequest:
    """A message of a known client, from its arrival to its answer.

    ``labels`` returns the labels of models by table. Without observers, almost nothing is computed.
    """

    __slots__ = ("_ends", "_labels", "_refusals", "policy", "served", "written")

    def __init__(
        self,
        observers: Sequence[Observer],
        message_id: str,
        size: int,
        client: str,
        headers: Mapping[str, Any],
        labels: Callable[[], Mapping[str, str]],
    ) -> None:
        self.served = Served(message_id=harmless(message_id), client=client, headers=headers, bytes_of_request=size)
        self._ends = hooks.begin(observers, self.served)
        self._labels = labels
        #: Codes of refusals that an explanation predicts.
        self._refusals: frozenset[str] = _NONE
        self.policy: EvaluatedPolicy | None = None
        self.written = RowCounts() if self._ends else None

    def evaluates(self, policy: EvaluatedPolicy) -> None:
        """Note the policy of the request before its evaluation; its budget has the costs."""
        self.policy = policy
        policy.budget.written, policy.budget.started = self.written, self.served.started

    def answered(self, response: Response | bytes, entry: StoredAnswer | None) -> None:
        """Note the outcome of the request."""
        if not self._ends:
            return
        served = self.served
        if entry is not None and response is entry.answer:
            served.outcome = "done"
        elif isinstance(response, bytes):  # the ledger's answer
            error = decode_response(response).error
            served.code = "" if error is None else error.code
            served.outcome = _LEDGER_OUTCOMES.get(served.code, "again")
        elif response.error is None:
            served.outcome = "done"
            self._refusals = frozenset([error.code for error in response.refused])
        else:
            self.failed(response.error)

    def failed(self, error: ErrorReport) -> None:
        """Note the error of a request that did nothing."""
        self.served.outcome, self.served.code = "refused" if _is_refusal(error.code) else "failed", error.code
        if error.code in ERRORS and ERRORS[error.code].is_logged:
            self.served.reason = error.message

    def end(self, size: int) -> None:
        """Report the message to the observers; ``size`` is the number of bytes of the answer."""
        if not self._ends:
            return
        served, policy = self.served, self.policy
        served.bytes_of_answer = size
        if policy is not None:
            served.rows, served.statements = policy.budget.rows, policy.budget.statements
            served.refusals = tuple(sorted(filter(_is_refusal, {*self._refusals, *policy.failures})))
        if served.outcome == "done" and self.written:  # most messages write nothing, and projects have many models
            served.written = self.written.by_model(self._labels())
        hooks.end(self._ends, served)
