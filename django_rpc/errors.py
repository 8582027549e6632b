"""Errors that a call raises, and the conversion of a server's report to one of them.

Higher layers map codes to their classes with `register`: models/ maps ``"DoesNotExist"`` to the ``DoesNotExist`` of the
mirror. A code without a registered class becomes a subclass of `RemoteError` that has the remote name.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any

from django_rpc.graph.errors import FailedGraph
from django_rpc.graph.nodes import Node
from django_rpc.wire.messages import ErrorReport

__all__ = [
    "BadMessage",
    "BadRequest",
    "BadResponse",
    "BadValue",
    "BrokerUnavailable",
    "Builder",
    "CallCancelled",
    "DeadlineExceeded",
    "ForgedResponse",
    "ForwardReference",
    "HandOverFailed",
    "ImproperSettings",
    "LimitExceeded",
    "MessageTooDeep",
    "MessageTooLarge",
    "NoLedger",
    "NoWorker",
    "NotSentYet",
    "OutcomeUnknown",
    "PartlyDone",
    "PermissionDenied",
    "RemoteError",
    "RequestConflict",
    "RequestExpired",
    "RequestRefused",
    "ResponseTooLarge",
    "ResultBackendUnavailable",
    "RpcError",
    "RpcTimeout",
    "ShippingFailed",
    "TooManyNodes",
    "TooManyRequests",
    "TooManyRows",
    "TooManyStatements",
    "UnknownNode",
    "UnknownTag",
    "VersionMismatch",
    "Withdrawn",
    "WorkerLost",
    "annotate",
    "build",
    "register",
    "remote_class",
]


class RpcError(Exception):
    """Base class of every error of a call.

    ``request_id`` finds the call in the logs of client and server. ``rpc_node`` is the failed node, as text.
    ``remote_traceback`` is the traceback of the server, where the settings of the server allow it.
    """

    request_id: str | None = None
    rpc_node: str | None = None
    remote_traceback: str | None = None


class ImproperSettings(RpcError, ValueError):
    """A setting of a service is wrong."""


class RpcTimeout(RpcError, TimeoutError):
    """No answer arrived within the timeout; ``django_rpc.outcome(error.request_id)`` returns its outcome."""


class NoWorker(RpcTimeout):
    """No worker consumes the queue of the request, which stays there until its timeout."""


class BrokerUnavailable(RpcError, ConnectionError):
    """The client could not publish the request to the message broker."""


class ResultBackendUnavailable(RpcError, ConnectionError):
    """The answer cannot arrive: the result backend is unavailable, or the workers write to another result backend."""


class WorkerLost(RpcError):
    """The worker process died while it executed the request."""


class CallCancelled(RpcError, concurrent.futures.CancelledError):
    """The call was cancelled before a worker began it."""


class BadResponse(RpcError):
    """The client cannot read the answer."""


class ForgedResponse(BadResponse):
    """The client signed the request, and the service did not sign this answer: it was changed or forged on its way."""


class PermissionDenied(RpcError):
    """The server does not expose the object to this client."""


class RequestRefused(PermissionDenied):
    """The service rejects the request: it has no signature, or the service does not accept its token at this time."""


class VersionMismatch(RpcError):
    """Client and server use different versions of the protocol."""


class RequestExpired(RpcError, TimeoutError):
    """A worker received the request after its timeout, and dropped it."""


class NotSentYet(RpcError):
    """The call does not fit into a block that collects operations.

    It needs a result of the block, which is sent only when the block ends, or it cannot be sent with the block.
    """


class OutcomeUnknown(RpcError):
    """The service does not know if the request was or will be done; call ``django_rpc.outcome()`` later."""


class PartlyDone(RpcError):
    """The request wrote to several databases, and the service died after only some of them had committed."""


class RequestConflict(RpcError, ValueError):
    """The id of the request was used for another request; nothing was done."""


class NoLedger(RpcError):
    """The service keeps no ledger: it rejects requests for exactly one execution, and cannot report outcomes."""


class Withdrawn(RpcError):
    """A call of ``outcome(..., settle=True)`` decided that the request is not executed."""


class ShippingFailed(RpcError):
    """The service cannot load a pickled function.

    Its version of Python differs, or it does not have a module that the function needs.
    """


class BadRequest(RpcError, ValueError):
    """The server could not accept the request."""


class LimitExceeded(RpcError):
    """The request costs more than the service allows this client; the message names the limit."""


class TooManyRows(LimitExceeded):
    """The queries of the request read more rows than allowed (limit ``rows``)."""


class ResponseTooLarge(LimitExceeded):
    """The answer has more bytes than allowed (limit ``response_bytes``)."""


class TooManyStatements(LimitExceeded):
    """The request runs more SQL statements than allowed (limit ``statements``)."""


class DeadlineExceeded(LimitExceeded):
    """The service needed more time for the request than allowed (limit ``seconds``); it wrote nothing."""


class TooManyRequests(LimitExceeded):
    """The client sent more requests in this minute than allowed (limit ``requests``)."""


class MessageTooLarge(BadRequest, LimitExceeded):
    """The request has more bytes than the server accepts."""


class MessageTooDeep(BadRequest, LimitExceeded):
    """Values in the request are nested deeper than the server accepts."""


class TooManyNodes(BadRequest, LimitExceeded):
    """The graph has more nodes than the server accepts."""


class BadMessage(BadRequest):
    """The bytes are no message of this protocol."""


class BadValue(BadRequest):
    """A value or a name is not allowed in its place."""


class ForwardReference(BadRequest):
    """A node refers to a node that does not precede it."""


class HandOverFailed(RpcError):
    """A service could not forward its values to the next service, or the next service did not accept their proof.

    The writes of the earlier stage remain. The stage that needed the values did nothing.
    """


class UnknownTag(BadRequest):
    """A value has a tag that the server does not know."""


class UnknownNode(BadRequest):
    """A node is of a kind that the server does not know."""


class RemoteError(RpcError):
    """An error of the server without a class at the client; ``remote_name`` is the name of its class at the server."""

    remote_name: str = ""


#: Function that makes the exception for a report; its second argument is the failed node, where the server reports it.
Builder = Callable[[ErrorReport, Node | None], Exception]

_builders: dict[str, Builder] = {}
_remote_classes: dict[str, type[RemoteError]] = {}
#: Limit of generated classes, so that a server with invented names cannot fill the memory of the client.
_MAX_REMOTE_CLASSES = 1000


def register(code: str, builder: Builder) -> None:
    """Let ``builder(report, node)`` make the exceptions for reports with this ``code``.

    >>> register("Teapot", lambda report, node: KeyError(report.message))
    >>> build(ErrorReport(code="Teapot", message="short and stout"))
    KeyError('short and stout')
    """
    _builders[code] = builder


def build(report: ErrorReport, node: Node | None = None) -> Exception:
    """Return the exception for a server's report; never raise.

    >>> build(ErrorReport(code="MessageTooLarge", message="9 MB"))
    MessageTooLarge('9 MB')
    >>> type(build(ErrorReport(code="Remote", message="no", remote_name="PaymentRefused"))).__name__
    'PaymentRefused'
    """
    builder = _builders.get(report.code)
    if builder is not None:
        return builder(report, node)
    return remote_class(report.remote_name or report.code)(report.message)


def remote_class(name: str) -> type[RemoteError]:
    """Return the subclass of `RemoteError` for a server's class, the same class for the same name.

    >>> remote_class("PaymentRefused") is remote_class("PaymentRefused")
    True
    """
    error_class = _remote_classes.get(name)
    if error_class is None:
        # The server chooses this name. It only becomes the name of a class, and is never looked up.
        short = name.rpartition(".")[2]
        error_class = type(short if short.isidentifier() else "RemoteError", (RemoteError,), {"remote_name": name})
        if len(_remote_classes) < _MAX_REMOTE_CLASSES:
            error_class = _remote_classes.setdefault(name, error_class)
    return error_class


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


def _plain(kind: type[RpcError]) -> Builder:
    return lambda report, node: kind(report.message)


for _kind in (
    BadMessage,
    BadRequest,
    BadValue,
    DeadlineExceeded,
    ForwardReference,
    HandOverFailed,
    MessageTooDeep,
    MessageTooLarge,
    NoLedger,
    OutcomeUnknown,
    PartlyDone,
    PermissionDenied,
    RequestConflict,
    RequestExpired,
    RequestRefused,
    ResponseTooLarge,
    ShippingFailed,
    TooManyNodes,
    TooManyRequests,
    TooManyRows,
    TooManyStatements,
    UnknownNode,
    UnknownTag,
    VersionMismatch,
    Withdrawn,
    WorkerLost,
):
    register(_kind.__name__, _plain(_kind))
