"""What the observers of this service are told of its messages (`django_rpc.telemetry`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django_rpc.server.conf import settings
from django_rpc.server.core.limits import EXCEEDED
from django_rpc.server.core.row_counts import Written
from django_rpc.server.ledger.ledger import Entry
from django_rpc.server.policy.client_policy import Policy
from django_rpc.telemetry import hooks
from django_rpc.telemetry.fields import harmless
from django_rpc.telemetry.hooks import Served
from django_rpc.wire.codec import decode_response
from django_rpc.wire.errors import CODES
from django_rpc.wire.messages import ErrorReport, Response

__all__ = ["NAMING", "REFUSALS", "Observed", "tell"]

#: Codes of errors whose text names what was asked for, or a limit, and holds no value.
NAMING = frozenset({"UnknownModel", "UnknownFunction", "FieldError", "FieldDoesNotExist"})
NAMING |= {kind.__name__ for kind in EXCEEDED.values()}
#: Codes of what may not be done, or is not there for this client: all others are failures of what is.
REFUSALS = NAMING | {"AttributeError", "BadRequest", "PermissionDenied", "RequestExpired", "RequestRefused", *CODES}
REFUSALS |= {"NoLedger", "RequestConflict"}
#: What the ledger itself says, rather than the first answer.
_SAYS = {"OutcomeUnknown": "unknown", "PartlyDone": "unknown", "RequestConflict": "refused"}
_NONE: frozenset[str] = frozenset()


def tell(message_id: str, outcome: str, code: str, reason: str = "") -> None:
    """Tell of a message that ends before it is read."""
    served = Served(message_id=harmless(message_id), outcome=outcome, code=code, reason=reason)
    hooks.end(hooks.begin(settings.observers, served), served)


class Observed:
    """One message that is let in, from there to its answer.

    Where nobody observes, nothing is worked out but that.
    """

    __slots__ = ("_ends", "_would", "policy", "served", "written")

    def __init__(self, message_id: str, size: int, client: str, headers: Mapping[str, Any]) -> None:
        self.served = Served(message_id=harmless(message_id), client=client, headers=headers, bytes_of_request=size)
        self._ends = hooks.begin(settings.observers, self.served)
        self._would: frozenset[str] = _NONE  # be refused, says an explanation
        self.policy: Policy | None = None
        self.written = Written() if self._ends else None

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
        outcome = "refused" if error.code in REFUSALS else "failed"
        self.served.outcome, self.served.code = outcome, error.code
        if error.code in NAMING:
            self.served.reason = error.message

    def end(self, size: int) -> None:
        """The answer is made, and has so many bytes."""
        if not self._ends:
            return
        served, policy = self.served, self.policy
        served.bytes_of_answer = size
        if policy is not None:
            served.rows, served.statements = policy.budget.rows, policy.budget.statements
            served.refusals = tuple(sorted(REFUSALS & {*self._would, *policy.failures}))
        if served.outcome == "done" and self.written is not None:
            served.written = self.written.by_model()
        hooks.end(self._ends, served)
