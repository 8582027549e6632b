"""Outcome of a call, which the ledger of the service reports for the id of the request."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django_rpc import errors
from django_rpc.client import execute as run
from django_rpc.client.call_record import Results
from django_rpc.client.decode_result import decode_result
from django_rpc.graph.delayed.runner import Output, resolve
from django_rpc.graph.nodes import RequestOutcome, callsite
from django_rpc.wire.codec import decode_response

__all__ = ["Outcome", "aask", "aoutcome", "ask", "outcome"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a request.

    ``state`` is one of:

    - ``"done"``: the request was executed.
    - ``"refused"``: the service did nothing for it; ``error`` is the reason.
    - ``"withdrawn"``: a call with ``settle=True`` decided that it is not executed.
    - ``"partly"``: only some of several databases have its writes.
    - ``"unknown"``: the service has no trace of it, so it was not executed so far.

    ``at`` is the time of the outcome, ``values`` are the values of the answer without conversion.
    """

    request_id: str
    state: str
    at: datetime.datetime | None = None
    values: tuple[Any, ...] = ()
    error: Exception | None = None

    @property
    def done(self) -> bool:
        return self.state == "done"

    def result(self) -> list[Any]:
        """Return the values of the call's outputs.

        Raise the error that the call would have raised, or OutcomeUnknown.
        """
        if self.error is not None:
            raise self.error
        if not self.done:
            unknown = errors.OutcomeUnknown(f"The service has no trace of request {self.request_id}.")
            unknown.request_id = self.request_id
            raise unknown
        return list(self.values)


def outcome(
    request_id: str,
    using: str = "rpc",
    *,
    settle: bool = False,
    timeout: float | None = None,
    priority: bool = False,
) -> Outcome:
    """Return the outcome of the request with this id (``error.request_id`` of an `RpcTimeout`, or a key of `once`).

    ``settle=True`` turns "unknown" into a final state: the service waits for a request that it executes now, and will
    not execute a request that has not begun. Raise NoLedger where the service keeps no ledger, or any error of a
    message.

    >>> outcome("7f", settle=True).state
    'withdrawn'
    """
    return ask(resolve(using), request_id, settle=settle, timeout=timeout, priority=priority)


async def aoutcome(
    request_id: str,
    using: str = "rpc",
    *,
    settle: bool = False,
    timeout: float | None = None,
    priority: bool = False,
) -> Outcome:
    """Return the `outcome`, without blocking the event loop."""
    return await aask(resolve(using), request_id, settle=settle, timeout=timeout, priority=priority)


def ask(session: Any, request_id: str, *, settle: bool, timeout: float | None, priority: bool) -> Outcome:
    """Return the `outcome` from the service of a session."""
    [value] = run.compute([_output(session, request_id, settle)], [session], timeout=timeout, priority=priority)
    return _outcome(session, request_id, value)


async def aask(session: Any, request_id: str, *, settle: bool, timeout: float | None, priority: bool) -> Outcome:
    output = _output(session, request_id, settle)
    [value] = await run.acompute([output], [session], timeout=timeout, priority=priority)
    return _outcome(session, request_id, value)


def _output(session: Any, request_id: str, settle: bool) -> Output:
    return Output(RequestOutcome(session.service, request_id, settle, where=callsite()))


def _outcome(session: Any, request_id: str, value: Mapping[str, Any]) -> Outcome:
    results: Results = session.results
    state = value["state"]
    if state == "unknown":
        return Outcome(request_id, state)
    if state == "partly":
        error: Exception = errors.PartlyDone(
            f"Request {request_id} wrote to several databases of the service, and some of them do not have its writes."
        )
        return Outcome(request_id, state, value["at"], error=_of(error, request_id))
    response = decode_response(value["answer"].encode(), naive_zone=session.locale().naive_zone)
    if response.error is not None:
        error = results.of(()).error(response.error, None)
        return Outcome(request_id, state, value["at"], error=_of(error, request_id))
    values = tuple([decode_result(output, results.of(())) for output in response.outputs])
    return Outcome(request_id, state, value["at"], values)


def _of(error: Exception, request_id: str) -> Exception:
    error.add_note(f"request {request_id}")
    with contextlib.suppress(AttributeError):  # the class has __slots__, and the note has the id
        error.request_id = request_id  # type: ignore[attr-defined]  # a note on the object
    return error
