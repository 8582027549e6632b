"""Errors between clients and services: one class and one entry of the table `ERRORS` for each code.

An error crosses the wire as a code and a text. Services, clients and the codec take codes, classes and rules from this
table. It also has the codes for exceptions of Django and Python, which have the same class at both ends. A code
without an entry becomes a subclass of `RemoteError` with the name of the class at the service.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

__all__ = [
    "ERRORS",
    "BadMessage",
    "BadRequest",
    "BadResponse",
    "BadValue",
    "BrokerUnavailable",
    "CallCancelled",
    "DeadlineExceeded",
    "ErrorKind",
    "ForgedResponse",
    "ForwardReference",
    "HandOverFailed",
    "ImproperSettings",
    "LedgerError",
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
    "UnknownFunction",
    "UnknownModel",
    "UnknownNode",
    "UnknownTag",
    "VersionMismatch",
    "WireError",
    "Withdrawn",
    "WorkerLost",
    "remote_class",
]

#: Origin of an error: the client, the codec of either end, the service itself, or the code of Django and the project.
RaisedBy = Literal["client", "codec", "service", "code"]


class ErrorKind(NamedTuple):
    """Entry of the table.

    - ``status``: category of the error, as HTTP would report it.
    - ``raised_by``: origin of the error. A client accepts no code of an error that only clients raise.
    - ``error_class``: class of this module, if the code has one.
    - ``standard``: dotted path of the class of Django or Python, if the code has one.
    - ``covers_subclasses``: subclasses of ``standard`` have the same code. Otherwise only those of Django and Python.
    - ``withheld_text``: text for the client if the text of the exception must not reach it.
    - ``is_refusal``: the request used something that the client may not use; other codes are failures.
    - ``is_logged``: observers receive the text, because it holds only names of the request and limits.
    """

    code: str
    status: HTTPStatus
    raised_by: RaisedBy
    error_class: type[RpcError] | None = None
    standard: str = ""
    covers_subclasses: bool = False
    withheld_text: str = ""
    is_refusal: bool = False
    is_logged: bool = False

    @property
    def sends_text(self) -> bool:
        """True if the text always reaches the client; texts of other code are compared with templates first."""
        return self.raised_by in ("codec", "service")


#: All codes, in the order in which an exception is compared with the standard classes.
ERRORS: dict[str, ErrorKind] = {}

_C = TypeVar("_C", bound="type[RpcError]")


def _entry(status: HTTPStatus, raised_by: RaisedBy, *, code: str = "", **options: Any) -> Callable[[_C], _C]:
    """Return a decorator that adds a class to the table under its name, or under ``code``."""

    def add(error_class: _C) -> _C:
        error_class.code = code or error_class.__name__
        ERRORS[error_class.code] = ErrorKind(error_class.code, status, raised_by, error_class, **options)
        return error_class

    return add


class RpcError(Exception):
    """Base class of every error of a call.

    ``request_id`` finds the call in the logs of client and server. ``rpc_node`` is the failed node, as text.
    ``remote_traceback`` is the traceback of the server, where the settings of the server allow it.
    """

    #: Code of the class in messages.
    code: ClassVar[str] = ""
    request_id: str | None = None
    rpc_node: str | None = None
    remote_traceback: str | None = None


# Errors of the client


@_entry(HTTPStatus.INTERNAL_SERVER_ERROR, "client")
class ImproperSettings(RpcError, ValueError):
    """A setting of a service is wrong."""


@_entry(HTTPStatus.GATEWAY_TIMEOUT, "client")
class RpcTimeout(RpcError, TimeoutError):
    """No answer arrived within the timeout; ``django_rpc.outcome(error.request_id)`` returns its outcome."""


@_entry(HTTPStatus.SERVICE_UNAVAILABLE, "client")
class NoWorker(RpcTimeout):
    """No worker consumes the queue of the request, which stays there until its timeout."""


@_entry(HTTPStatus.SERVICE_UNAVAILABLE, "client")
class BrokerUnavailable(RpcError, ConnectionError):
    """The client could not publish the request to the message broker."""


@_entry(HTTPStatus.SERVICE_UNAVAILABLE, "client")
class ResultBackendUnavailable(RpcError, ConnectionError):
    """The answer cannot arrive: the result backend is unavailable, or the workers write to another result backend."""


@_entry(HTTPStatus.CONFLICT, "client")
class CallCancelled(RpcError, concurrent.futures.CancelledError):
    """The call was cancelled before a worker began it."""


@_entry(HTTPStatus.BAD_GATEWAY, "client")
class BadResponse(RpcError):
    """The client cannot read the answer."""


@_entry(HTTPStatus.BAD_GATEWAY, "client")
class ForgedResponse(BadResponse):
    """The client signed the request, and the service did not sign this answer: it was changed or forged on its way."""


@_entry(HTTPStatus.CONFLICT, "client")
class NotSentYet(RpcError):
    """The call does not fit into a block that collects operations.

    It needs a result of the block, which is sent only when the block ends, or it cannot be sent with the block.
    """


# Errors of the service


@_entry(HTTPStatus.BAD_GATEWAY, "service")
class WorkerLost(RpcError):
    """The worker process died while it executed the request."""


@_entry(
    HTTPStatus.FORBIDDEN,
    "code",
    standard="django.core.exceptions.PermissionDenied",
    covers_subclasses=True,
    withheld_text="The service does not allow this.",
    is_refusal=True,
)
class PermissionDenied(RpcError):
    """The server does not expose the object to this client."""


@_entry(HTTPStatus.UNAUTHORIZED, "service", is_refusal=True)
class RequestRefused(PermissionDenied):
    """The service rejects the request: it has no signature, or the service does not accept its token at this time."""


@_entry(HTTPStatus.GATEWAY_TIMEOUT, "service", is_refusal=True)
class RequestExpired(RpcError, TimeoutError):
    """A worker received the request after its timeout, and dropped it."""


@_entry(HTTPStatus.NOT_FOUND, "service", is_refusal=True, is_logged=True)
class UnknownModel(RpcError, LookupError):
    """The model does not exist, or is hidden from this client."""


@_entry(HTTPStatus.NOT_FOUND, "service", is_refusal=True, is_logged=True)
class UnknownFunction(RpcError, LookupError):
    """The function does not exist, or is hidden from this client."""


@_entry(HTTPStatus.UNPROCESSABLE_ENTITY, "service")
class ShippingFailed(RpcError):
    """The service cannot load a pickled function.

    Its version of Python differs, or it does not have a module that the function needs.
    """


class LedgerError(RpcError):
    """Base class of the answers of the ledger, which are not the stored answer of the request."""


@_entry(HTTPStatus.SERVICE_UNAVAILABLE, "service")
class OutcomeUnknown(LedgerError):
    """The service does not know if the request was or will be done; call ``django_rpc.outcome()`` later."""


@_entry(HTTPStatus.INTERNAL_SERVER_ERROR, "service")
class PartlyDone(LedgerError):
    """The request wrote to several databases, and the service died after only some of them had committed."""


@_entry(HTTPStatus.CONFLICT, "service", is_refusal=True)
class RequestConflict(LedgerError, ValueError):
    """The id of the request was used for another request; nothing was done."""


@_entry(HTTPStatus.NOT_IMPLEMENTED, "service", is_refusal=True)
class NoLedger(LedgerError):
    """The service keeps no ledger: it rejects requests for exactly one execution, and cannot report outcomes."""


@_entry(HTTPStatus.GONE, "service")
class Withdrawn(LedgerError):
    """A call of ``outcome(..., settle=True)`` decided that the request is not executed."""


class LimitExceeded(RpcError):
    """The request costs more than the service allows this client; the message names the limit."""

    #: Name of the limit, text of the error and advice for the user.
    limit: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    advice: ClassVar[str] = ""


@_entry(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "service", is_refusal=True, is_logged=True)
class TooManyRows(LimitExceeded):
    """The queries of the request read more rows than allowed (limit ``rows``)."""

    limit = "rows"
    summary = "The queries of the request read too many rows."
    advice = "Filter or slice the query, or send it in parts."


@_entry(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "service", is_refusal=True, is_logged=True)
class ResponseTooLarge(LimitExceeded):
    """The answer has more bytes than allowed (limit ``response_bytes``)."""

    limit = "response_bytes"
    summary = "The answer has too many bytes."
    advice = "Request fewer rows or fields."


@_entry(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "service", is_refusal=True, is_logged=True)
class TooManyStatements(LimitExceeded):
    """The request runs more SQL statements than allowed (limit ``statements``)."""

    limit = "statements"
    summary = "The request runs too many SQL statements."
    advice = "Write many rows with bulk_create(), read them with one query, or send the request in parts."


@_entry(HTTPStatus.SERVICE_UNAVAILABLE, "service", is_refusal=True, is_logged=True)
class DeadlineExceeded(LimitExceeded):
    """The service needed more time for the request than allowed (limit ``seconds``); it wrote nothing."""

    limit = "seconds"
    summary = "The request took too many seconds."
    advice = "Nothing of it was written. Filter the query, or send it in parts."


@_entry(HTTPStatus.TOO_MANY_REQUESTS, "service", is_refusal=True, is_logged=True)
class TooManyRequests(LimitExceeded):
    """The client sent more requests in this minute than allowed (limit ``requests``)."""

    limit = "requests"
    summary = "The client sent too many requests in the time of the limit."
    advice = "Send several calls in one message, or wait."


# Errors of the codec, at both ends


class WireError(RpcError):
    """Base class of the errors of the codec.

    ``node`` is the index of the wrong node, and ``request_id`` the id of the message; None if unknown.
    """

    def __init__(self, message: str, *, node: int | None = None, request_id: str | None = None) -> None:
        super().__init__(message)
        self.node = node
        self.request_id = request_id


@_entry(HTTPStatus.BAD_REQUEST, "service", is_refusal=True)
class BadRequest(RpcError, ValueError):
    """The server could not accept the request."""


@_entry(HTTPStatus.BAD_REQUEST, "codec", is_refusal=True)
class BadMessage(WireError, BadRequest):
    """The bytes are no message of this protocol."""


@_entry(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "codec", is_refusal=True)
class VersionMismatch(WireError):
    """Client and server use different versions of the protocol."""


@_entry(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "codec", is_refusal=True)
class MessageTooLarge(WireError, BadRequest, LimitExceeded):
    """The request has more bytes than the server accepts (limit ``message_bytes``)."""


@_entry(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "codec", is_refusal=True)
class MessageTooDeep(WireError, BadRequest, LimitExceeded):
    """Values in the request are nested deeper than the server accepts (limit ``depth``)."""


@_entry(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "codec", is_refusal=True)
class TooManyNodes(WireError, BadRequest, LimitExceeded):
    """The graph has more nodes than the server accepts (limits ``nodes``, ``outputs``, ``steps`` and others)."""


@_entry(HTTPStatus.BAD_REQUEST, "codec", is_refusal=True)
class ForwardReference(WireError, BadRequest):
    """A node refers to a node that does not precede it."""


@_entry(HTTPStatus.BAD_GATEWAY, "codec", is_refusal=True)
class HandOverFailed(WireError):
    """A service could not forward its values to the next service, or the next service did not accept their proof.

    The writes of the earlier stage remain. The stage that needed the values did nothing.
    """


@_entry(HTTPStatus.BAD_REQUEST, "codec", is_refusal=True)
class UnknownTag(WireError, BadRequest):
    """A value has a tag that the server does not know."""


@_entry(HTTPStatus.BAD_REQUEST, "codec", is_refusal=True)
class UnknownNode(WireError, BadRequest):
    """A node is of a kind that the server does not know."""


@_entry(HTTPStatus.BAD_REQUEST, "codec", is_refusal=True)
class BadValue(WireError, BadRequest):
    """A value or a name is not allowed in its place."""


# Exceptions of Django and Python, raised by the code of the service


def _standard(path: str, status: HTTPStatus, code: str = "", **options: Any) -> None:
    code = code or path.rpartition(".")[2]
    ERRORS[code] = ErrorKind(code, status, "code", standard=path, **options)


_standard(
    "django.core.exceptions.ObjectDoesNotExist",
    HTTPStatus.NOT_FOUND,
    "DoesNotExist",
    covers_subclasses=True,
    withheld_text="A row that the service needs is not there.",
)
_standard(
    "django.core.exceptions.MultipleObjectsReturned",
    HTTPStatus.CONFLICT,
    covers_subclasses=True,
    withheld_text="The service found several rows in place of a single row.",
)
_standard("django.core.exceptions.FieldDoesNotExist", HTTPStatus.BAD_REQUEST, is_refusal=True, is_logged=True)
_standard(
    "django.core.exceptions.FieldError",
    HTTPStatus.BAD_REQUEST,
    covers_subclasses=True,
    withheld_text="The query names a field, lookup or expression that cannot be used here.",
    is_refusal=True,
    is_logged=True,
)
_standard("django.core.exceptions.ValidationError", HTTPStatus.UNPROCESSABLE_ENTITY)
_standard("django.core.exceptions.EmptyResultSet", HTTPStatus.INTERNAL_SERVER_ERROR)
_standard("django.db.models.ProtectedError", HTTPStatus.CONFLICT)
_standard("django.db.models.RestrictedError", HTTPStatus.CONFLICT)
_standard(
    "django.db.utils.IntegrityError",
    HTTPStatus.CONFLICT,
    withheld_text="The database refused the write: a constraint of the service's tables does not hold.",
)
_standard(
    "django.db.utils.DataError",
    HTTPStatus.UNPROCESSABLE_ENTITY,
    withheld_text="The database refused a value: it is out of range, or not of the column's type.",
)
_standard(
    "django.db.utils.OperationalError",
    HTTPStatus.SERVICE_UNAVAILABLE,
    withheld_text="The service's database could not do it, or could not be reached.",
)
_standard(
    "django.db.utils.NotSupportedError",
    HTTPStatus.NOT_IMPLEMENTED,
    withheld_text="The service's database does not support this.",
)
_standard("django.db.transaction.TransactionManagementError", HTTPStatus.INTERNAL_SERVER_ERROR)
_standard(
    "django.db.utils.ProgrammingError",
    HTTPStatus.INTERNAL_SERVER_ERROR,
    withheld_text="The service's database does not understand the query.",
)
_standard("django.db.utils.InternalError", HTTPStatus.INTERNAL_SERVER_ERROR)
_standard("django.db.utils.InterfaceError", HTTPStatus.SERVICE_UNAVAILABLE)
_standard("django.db.utils.DatabaseError", HTTPStatus.INTERNAL_SERVER_ERROR)
_standard("builtins.KeyError", HTTPStatus.INTERNAL_SERVER_ERROR)
_standard("builtins.IndexError", HTTPStatus.INTERNAL_SERVER_ERROR)
_standard("builtins.LookupError", HTTPStatus.INTERNAL_SERVER_ERROR)
_standard("builtins.AttributeError", HTTPStatus.INTERNAL_SERVER_ERROR, is_refusal=True)
_standard("builtins.ZeroDivisionError", HTTPStatus.INTERNAL_SERVER_ERROR)
_standard("builtins.OverflowError", HTTPStatus.INTERNAL_SERVER_ERROR)
_standard("builtins.ArithmeticError", HTTPStatus.INTERNAL_SERVER_ERROR)
_standard("builtins.TypeError", HTTPStatus.BAD_REQUEST)
_standard("builtins.NotImplementedError", HTTPStatus.NOT_IMPLEMENTED)
_standard("builtins.RecursionError", HTTPStatus.INTERNAL_SERVER_ERROR)
_standard("builtins.ValueError", HTTPStatus.BAD_REQUEST)
_standard("builtins.AssertionError", HTTPStatus.INTERNAL_SERVER_ERROR)


# All other exceptions of the service


@_entry(HTTPStatus.INTERNAL_SERVER_ERROR, "code", code="Remote")
class RemoteError(RpcError):
    """An error of the server without a class at the client; ``remote_name`` is the name of its class at the server."""

    remote_name: str = ""


_remote_classes: dict[str, type[RemoteError]] = {}
#: Limit of generated classes, so that a server with invented names cannot fill the memory of the client.
_MAX_REMOTE_CLASSES = 1000


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
