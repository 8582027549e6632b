"""The errors of a call: what a user catches, and how a server's report becomes one of them.

Rooms above map codes to their own classes with `register` (models/ maps ``"DoesNotExist"`` to the mirror's
``DoesNotExist``).  A code that nobody registered becomes a `RemoteError` of its own class with the remote name.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any

from django_rpc.graph.errors import FailedGraph
from django_rpc.graph.node import Node
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
    """The base of every error of a call.

    ``request_id`` finds the call in the logs of both ends; ``rpc_node`` is the node that failed, as text;
    ``remote_traceback`` is the server's, where its settings allow it.
    """

    request_id: str | None = None
    rpc_node: str | None = None
    remote_traceback: str | None = None


class ImproperSettings(RpcError, ValueError):
    """The settings of a service hold a mistake."""


class RpcTimeout(RpcError, TimeoutError):
    """No answer came within the call's time-out; ``django_rpc.outcome(error.request_id)`` tells what became of it."""


class NoWorker(RpcTimeout):
    """No worker consumes the queue of the request, which stays there until its timeout."""


class BrokerUnavailable(RpcError, ConnectionError):
    """The request could not be handed to the message broker."""


class ResultBackendUnavailable(RpcError, ConnectionError):
    """The answer cannot arrive: the result backend is away, or the workers write to another one."""


class WorkerLost(RpcError):
    """The worker process died while it worked on the request."""


class CallCancelled(RpcError, concurrent.futures.CancelledError):
    """The call was cancelled before a worker began it."""


class BadResponse(RpcError):
    """The answer is not one that this client can read."""


class ForgedResponse(BadResponse):
    """The request was signed, and the answer is not what the service gave to it: somebody changed it, or made it."""


class PermissionDenied(RpcError):
    """The server does not expose this to this client."""


class RequestRefused(PermissionDenied):
    """The service does not take the request: it is not signed, or its token is not good there and now."""


class VersionMismatch(RpcError):
    """Client and server speak different versions of the protocol."""


class RequestExpired(RpcError, TimeoutError):
    """The request reached a worker after its time-out, and was dropped."""


class NotSentYet(RpcError):
    """It needs a result of a block that collects, which is sent when the block ends; or it does not fit into it."""


class OutcomeUnknown(RpcError):
    """The service cannot say whether the request was done, or will be: ask ``django_rpc.outcome()`` later."""


class PartlyDone(RpcError):
    """The request wrote to several databases, and the service died when only some had committed."""


class RequestConflict(RpcError, ValueError):
    """The id of the request was used for another request; nothing was done."""


class NoLedger(RpcError):
    """The service keeps no ledger, so it did not do what shall be done exactly once, or cannot say what was done."""


class Withdrawn(RpcError):
    """It was settled, by ``outcome(..., settle=True)``, that the request is not done."""


class ShippingFailed(RpcError):
    """A function that was shipped cannot be made at the service: another version of Python, or a module that is not
    there."""


class BadRequest(RpcError, ValueError):
    """The server could not accept the request as it stands."""


class LimitExceeded(RpcError):
    """The request costs more than the service allows this client; the message names the limit."""


class TooManyRows(LimitExceeded):
    """The queries of the request read more rows than allowed (limit ``rows``)."""


class ResponseTooLarge(LimitExceeded):
    """The answer has more bytes than allowed (limit ``response_bytes``)."""


class TooManyStatements(LimitExceeded):
    """The request runs more SQL statements than allowed (limit ``statements``)."""


class DeadlineExceeded(LimitExceeded):
    """The request took the service longer than allowed (limit ``seconds``); nothing of it was written."""


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
    """A value or a name is not allowed where it stands."""


class ForwardReference(BadRequest):
    """A node refers to one that does not stand before it."""


class HandOverFailed(RpcError):
    """A service could not hand its values to the next one, or that one did not believe them.

    What the stage before it wrote is written; the stage that needed the values did nothing.
    """


class UnknownTag(BadRequest):
    """A value has a tag that the server does not know."""


class UnknownNode(BadRequest):
    """A node is of a kind that the server does not know."""


class RemoteError(RpcError):
    """An error of the server that has no class at the client: ``remote_name`` is its class there."""

    remote_name: str = ""


#: Makes the exception for a report; the node is the one that failed, where the server could say it.
Builder = Callable[[ErrorReport, Node | None], Exception]

_builders: dict[str, Builder] = {}
_remote_classes: dict[str, type[RemoteError]] = {}
#: A server that makes up names must not fill our memory with classes.
_MAX_REMOTE_CLASSES = 1000


def register(code: str, builder: Builder) -> None:
    """Make reports with this ``code`` into the exception that ``builder(report, node)`` returns.

    >>> register("Teapot", lambda report, node: KeyError(report.message))
    >>> build(ErrorReport(code="Teapot", message="short and stout"))
    KeyError('short and stout')
    """
    _builders[code] = builder


def build(report: ErrorReport, node: Node | None = None) -> Exception:
    """The exception for a server's report; never raises.

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
    """The subclass of `RemoteError` for a server's class, always the same one for the same name.

    >>> remote_class("PaymentRefused") is remote_class("PaymentRefused")
    True
    """
    found = _remote_classes.get(name)
    if found is None:
        # The name is the server's word: it becomes the name of a class and is never looked up.
        short = name.rpartition(".")[2]
        found = type(short if short.isidentifier() else "RemoteError", (RemoteError,), {"remote_name": name})
        if len(_remote_classes) < _MAX_REMOTE_CLASSES:
            found = _remote_classes.setdefault(name, found)
    return found


def annotate(
    error: BaseException,
    *,
    node: str | None,
    where: tuple[str, int] | None,
    request_id: str,
    traceback: str | None,
    graph: FailedGraph,
) -> None:
    """Tell an exception which node failed, at which line of the user, and in which request.

    It stays of its own class: what is known is in attributes and, for people, in a note under the traceback.
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
        except AttributeError:  # a class with __slots__: the note has said it
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
