"""Conversion of a service's report to the exception that the caller catches."""

from __future__ import annotations

from typing import Any

from django_rpc.errors import ERRORS, RemoteError, remote_class
from django_rpc.graph.errors import FailedGraph
from django_rpc.wire.messages import ErrorReport

__all__ = ["annotate", "build"]


def build(report: ErrorReport) -> Exception:
    """Return the exception for a server's report; never raise.

    >>> build(ErrorReport(code="MessageTooLarge", message="9 MB"))
    MessageTooLarge('9 MB')
    >>> type(build(ErrorReport(code="Remote", message="no", remote_name="PaymentRefused"))).__name__
    'PaymentRefused'
    """
    kind = ERRORS.get(report.code)
    if kind is None or kind.error_class is None or kind.error_class is RemoteError or kind.raised_by == "client":
        return remote_class(report.remote_name or report.code)(report.message)
    made: Exception = kind.error_class(report.message)
    return made


def annotate(
    error: BaseException,
    *,
    node: str | None,
    where: tuple[str, int] | None,
    request_id: str,
    traceback: str | None,
    graph: FailedGraph,
) -> None:
    """Add facts to an exception: the failed node, the user's line that wrote it, and the request.

    The class of the exception stays the same. The facts are attributes, and a note below the traceback for the user.
    """
    lines = []
    if node is not None:
        lines.append(f"failed at the service: {node}")
    if where is not None:
        lines.append(f"written at {where[0]}:{where[1]}")
    lines.append(f"request {request_id}")
    error.add_note("\n".join(lines))
    if traceback is not None:
        error.add_note(f"the service's traceback:\n{traceback}")
    facts: dict[str, Any] = {
        "rpc_node": node,
        "request_id": request_id,
        "remote_traceback": traceback,
        "rpc_graph": graph,
    }
    for name, value in facts.items():
        try:
            setattr(error, name, value)
        except AttributeError:  # the class has __slots__, and the note has the facts
            continue
