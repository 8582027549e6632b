"""Answers to requests: the Celery task passes an encoded request to `handle` or `serve`, and sends the encoded reply.

core/ has the parts without Django; this module connects them with the settings, the ledger and the evaluation.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from django.db import connections

from django_rpc.errors import LimitExceeded, RemoteError, RequestExpired, ResponseTooLarge, WireError
from django_rpc.server.conf import settings
from django_rpc.server.core import instrumentation, rate_limit
from django_rpc.server.core.authenticate import REFUSAL, Caller, Refused, authenticate, identify
from django_rpc.server.core.clients import ANONYMOUS, Client
from django_rpc.server.core.forwarded_inputs import FetchForwarded, VerifiedInputs
from django_rpc.server.core.instrumentation import ObservedRequest
from django_rpc.server.core.reply import Sending, reply_id, sealed_reply
from django_rpc.server.core.request import RpcRequest
from django_rpc.server.errors.reports import log_level, report
from django_rpc.server.errors.sent_values import SentValues
from django_rpc.server.evaluate.evaluation import EvaluationError, Meter, evaluate, explain
from django_rpc.server.ledger import ledger
from django_rpc.server.locale import client_locale, naive_zone
from django_rpc.server.policy.client_policy import CURRENT, Policy
from django_rpc.server.policy.references import primary_key
from django_rpc.server.policy.users import user_of
from django_rpc.server.query.statements import StatementBudget
from django_rpc.server.registry.site import site
from django_rpc.server.results import ResultEncoder
from django_rpc.telemetry.fields import claims, harmless
from django_rpc.wire.codec import decode_request, encode_response
from django_rpc.wire.messages import ErrorReport, Request, Response, TraceEntry

__all__ = ["answer", "handle", "seal", "serve", "tell"]

logger = logging.getLogger("django_rpc.server")

#: Number of instances in an error report; a person reads them, and reads no more than this.
MAX_RECORDS = 100
_NOBODY = Client(ANONYMOUS)
_NONE: Mapping[str, Any] = MappingProxyType({})


def handle(message: bytes, token: str | None = None, request_id: str = "", headers: Mapping[str, Any] = _NONE) -> bytes:
    """Return the encoded reply to ``message``; never raises for a message of a client.

    ``token`` proves who made the message (wire/signing.py). ``request_id`` and ``headers`` are the id and the headers
    of the broker's message; the headers are for observers.
    """
    sending = serve(message, token, request_id, headers=headers)
    sending.finish()
    return sending.answer or b""


def serve(
    message: bytes,
    token: str | None = None,
    request_id: str = "",
    again: bool = False,
    headers: Mapping[str, Any] = _NONE,
    box: FetchForwarded | None = None,
) -> Sending:
    """Evaluate a request as `handle` does, and return the reply before it is sent.

    ``again`` is True if the broker reports that a worker received the message before. ``box`` returns the values that
    other services forwarded to this message.
    """
    try:
        caller = authenticate(message, token, settings, request_id)
    except Refused as reason:
        logger.warning("A request was refused: %s", reason, extra={"rpc_request": harmless(request_id)})
        tell(request_id, "refused", REFUSAL.code, str(reason))
        return Sending(encode_response(Response(id=reply_id(request_id), error=REFUSAL)), lambda: None)
    observed = ObservedRequest(
        settings.observers, request_id, len(message), caller.client.name, headers, ledger.labels_of_tables
    )
    handed = VerifiedInputs(message, request_id, caller.client.limits, box, naive_zone(), primary_key)
    size = 0
    try:
        made = _handle(message, caller, request_id, again or caller.again, observed, handed)
        sending = sealed_reply(made, observed.served.request, caller)
        size = len(sending.answer or b"") + sum(len(values) for _, values in sending.handed)
        return sending
    finally:
        observed.end(size)


def tell(message_id: str, outcome: str, code: str, reason: str = "") -> None:
    """Report a message that ends before it is read to the observers of this service."""
    instrumentation.tell(settings.observers, message_id, outcome, code, reason)


def seal(answer: bytes, message: bytes, token: str | None, request_id: str = "") -> bytes:
    """Return a reply that another function made, signed as in `handle`; unchanged if the token is not valid."""
    try:
        return identify(message, token, settings, request_id).seal(answer)
    except Refused:
        return answer


def _handle(
    message: bytes, caller: Caller, request_id: str, again: bool, observed: ObservedRequest, handed: VerifiedInputs
) -> bytes:
    limits = caller.client.limits
    try:
        rate_limit.count(caller.client.name, limits, lambda: settings.cache)
        budget = StatementBudget(limits)
        request = decode_request(message, limits, handed, naive_zone(), budget.check)
    except (WireError, LimitExceeded) as error:
        error_report, named = report(error), getattr(error, "request_id", None) or request_id
        logger.warning("A message was refused: %s", error_report.code, extra={"rpc_request": harmless(named)})
        observed.failed(error_report)
        return encode_response(Response(id=reply_id(named), error=error_report))
    observed.served.request = request
    if not caller.has_signed(request.id):
        logger.warning("A request was refused: its token has the id of another one", extra=_extra(request))
        observed.failed(REFUSAL)
        return encode_response(Response(id=request.id, error=REFUSAL))
    entry = ledger.entry_for(message, request, again=again, handed=handed.data)
    with client_locale(request):
        return _answered(request, caller.client, entry, observed, budget)


def _answered(
    request: Request, client: Client, entry: ledger.Entry | None, observed: ObservedRequest, budget: StatementBudget
) -> bytes:
    """Return the encoded reply to a decoded request."""
    response: Response | bytes
    try:
        response = answer(request, client, entry, observed, budget)
    except Exception as error:
        logger.exception("The request could not be answered", extra=_extra(request))
        failed = ErrorReport(code=RemoteError.code, message="The service failed.", remote_name=type(error).__name__)
        response = _refused(Response(id=request.id, error=failed), entry, error)
    observed.answered(response, entry)
    if isinstance(response, bytes):
        return response
    try:
        return ledger.sendable(response, client.limits)
    except (TypeError, ResponseTooLarge) as error:
        logger.warning("An answer could not be sent: %s", error, extra=_extra(request))
        error_report = report(error)
        if entry is None:  # for a request that writes, this was checked before the end of its transaction
            observed.failed(error_report)
        return encode_response(Response(id=request.id, error=error_report))


def answer(
    request: Request,
    client: Client = _NOBODY,
    entry: ledger.Entry | None = None,
    observed: ObservedRequest | None = None,
    budget: StatementBudget | None = None,
) -> Response | bytes:
    """Return the reply to a decoded request of ``client``; never raises for a request that a client can send.

    ``entry`` is the ledger entry of a request that writes. ``budget`` has counted since the message was decoded. The
    return value is encoded if it is the reply that the ledger stores.
    """
    started = time.monotonic()
    if request.expires is not None and request.expires < time.time():
        return _late(request, entry, client.name)
    budget = budget or StatementBudget(client.limits)
    policy = Policy(site, _who(request, client), budget)
    policy.sent = SentValues(request.nodes)
    if observed is not None:
        observed.evaluates(policy)
    if request.asking == "explain":
        try:
            with budget:
                _prepare_user(policy, client)
                return explain(request, policy, _shown if settings.SHOW_SQL else None)
        except EvaluationError as error:
            return Response(id=request.id, error=_reported(error, policy, request))
    trace: list[TraceEntry] = []
    meter = Meter() if request.asking == "profile" else None
    is_shown = settings.SHOW_SQL and (request.trace or meter is not None)
    with _traced(trace if is_shown else None, meter) if is_shown or meter is not None else contextlib.nullcontext():
        try:
            with budget:
                _prepare_user(policy, client)
                outputs, costs = evaluate(request, policy, meter, entry)
            response = Response(id=request.id, outputs=outputs, costs=costs)
        except EvaluationError as error:
            response_with_error = Response(id=request.id, error=_reported(error, policy, request))
            refused = _refused(response_with_error, entry, error.__cause__)
            if isinstance(refused, bytes):
                return refused
            response = refused
        except ledger.Duplicate:
            assert entry is not None  # it raised the error
            logger.info("The request was delivered again", extra=_extra(request))
            return entry.first()
    if trace:
        response = msgspec.structs.replace(response, trace=tuple(trace))
    if logger.isEnabledFor(logging.INFO):
        extra = {**_extra(request), "rpc_client": client.name, "rpc_seconds": time.monotonic() - started}
        logger.info("The request was answered", extra=extra)
    if entry is not None and entry.answer is not None and response.error is None and not (trace or response.costs):
        return entry.answer
    return response


def _who(request: Request, client: Client) -> RpcRequest:
    return RpcRequest(request.id, client.name, request.client, user_of(client), client.may_ship)


def _prepare_user(policy: Policy, client: Client) -> None:
    """Load the permissions of the client's user at the start, and not at the first model that checks them.

    Otherwise a forbidden model would run queries, which an unknown model does not, and a client could notice.
    """
    if client.user is not None and policy.site.asks_users:
        policy.request.user.get_all_permissions()


def _late(request: Request, entry: ledger.Entry | None, client: str) -> Response | bytes:
    """Return the reply to a request that arrived after its timeout; the request is not executed."""
    logger.warning("The request arrived too late", extra=_extra(request))
    earlier_reply = entry.earlier(client) if entry is not None else None
    late = ErrorReport(code=RequestExpired.code, message="The request reached the service after its time-out.")
    return earlier_reply or Response(id=request.id, error=late)


def _refused(response: Response, entry: ledger.Entry | None, cause: BaseException | None) -> Response | bytes:
    """Store a refusal in the ledger and return it; the ledger may return another reply instead."""
    if entry is None:
        return response
    return entry.refuse(response, cause) or response


def _reported(error: EvaluationError, policy: Policy, request: Request) -> ErrorReport:
    cause = policy.budget.broken_by(error.__cause__ or error)
    made = report(cause, error.node, _records(policy, request), policy)
    level = log_level(made)
    logger.log(level, "The request failed: %s", made.code, extra=_extra(request), exc_info=cause)
    return made


def _records(policy: Policy, request: Request) -> Any:
    """Return a function that makes the records of those instances that the client may see."""

    def records(instances: Any) -> list[Any]:
        token = CURRENT.set(policy)
        try:
            results = ResultEncoder(policy, request.shapes)
            return [
                results(instance) for instance in itertools.islice(instances, MAX_RECORDS) if policy.shows(instance)
            ]
        finally:
            CURRENT.reset(token)

    return records


def _extra(request: Request) -> dict[str, Any]:
    """Return fields of a log record about the caller, from its unverified claims, sanitized for a log."""
    return {"rpc_request": harmless(request.id), **claims(request.client)}


@contextlib.contextmanager
def _traced(trace: list[TraceEntry] | None, meter: Meter | None) -> Any:
    """Record each SQL statement on all databases with its time; with a meter, also the node that caused it."""

    def wrapper(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        begun = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            seconds = time.perf_counter() - begun
            position = None if meter is None else meter.position
            if meter is not None:
                meter.statements[position] += 1
            if trace is not None:
                trace.append(TraceEntry(_shown(sql, params, context), seconds, position))

    with contextlib.ExitStack() as stack:
        for connection in connections.all():
            if hasattr(connection, "execute_wrapper"):
                stack.enter_context(connection.execute_wrapper(wrapper))
        yield


def _shown(sql: Any, params: Any, context: dict[str, Any]) -> str:
    try:
        return str(context["connection"].ops.last_executed_query(context["cursor"].cursor, sql, params) or sql)
    except Exception:  # noqa: BLE001 - the statement itself is what matters
        return str(sql)
