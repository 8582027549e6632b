"""Execution of graphs: outputs in, values out, one message.

Output nodes -> Request -> bytes -> Transport -> bytes -> Response -> values or an exception
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django_rpc import errors
from django_rpc.client import execute as run
from django_rpc.client import outcome as outcomes
from django_rpc.client.call_record import MessageRecord, PlainResults, Results
from django_rpc.client.decode_result import FailedOutput, check_answer, decode_result
from django_rpc.client.forwarding import Links, why_not
from django_rpc.client.futures import Future, PendingCall
from django_rpc.client.hooks import Hook, MessageEnd
from django_rpc.client.idempotency import Ids, ids_for
from django_rpc.client.instrumentation import WEATHER, ObserverHook
from django_rpc.client.locale import Locale
from django_rpc.client.outages import note_end
from django_rpc.client.remote_errors import annotate
from django_rpc.client.signing import signer_of
from django_rpc.errors import WireError
from django_rpc.graph.delayed.runner import Output, ReportRequest, Runner
from django_rpc.graph.errors import FailedGraph
from django_rpc.graph.format import describe
from django_rpc.graph.nodes import Rows
from django_rpc.graph.plan.stages import Stage
from django_rpc.telemetry.fields import claims
from django_rpc.telemetry.hooks import OF_CLIENT, Sent, load
from django_rpc.transport.base import Options, Reply, Transport, Waiting
from django_rpc.transport.config import Config, check_timeout
from django_rpc.transport.registry import placed, transport_for
from django_rpc.wire.codec import decode_response, encode_request
from django_rpc.wire.messages import ClientInfo, ErrorReport, Origin, Request, Response
from django_rpc.wire.names import reply_key

__all__ = ["MessageRecord", "Options", "Output", "PlainResults", "Results", "Session"]

logger = logging.getLogger("django_rpc.client")

_HOST = socket.gethostname()
#: Name of the calling program ("manage.py", "gunicorn"), which the client claims for the server's log.
_PROGRAM = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "python"


class Session(Runner):
    """Executor of graphs on one service.

    ``settings`` is a dict as in DATABASES (or a `Config`), ``results`` makes the caller's objects. A session holds no
    connection, so it can be kept for ever, shared by threads, and used after a fork.

    >>> session = Session({"BROKER_URL": "redis://localhost/", "RESULT_BACKEND": "redis://localhost/"})
    >>> session.service
    'rpc'
    """

    def __init__(
        self, settings: Mapping[str, Any] | Config, results: Results | None = None, *, alias: str = "rpc"
    ) -> None:
        self.config = settings if isinstance(settings, Config) else Config.from_dict(settings, alias)
        self._signer = signer_of(self.config)
        self.results: Results = PlainResults() if results is None else results
        try:
            observers = load(OF_CLIENT if self.config.observers is None else self.config.observers)
        except ValueError as error:
            raise errors.ImproperSettings(f"DATABASES['{self.config.alias}']['OBSERVERS']: {error}") from error
        self.hooks: list[Hook] = [ObserverHook(observer) for observer in observers]
        self.locale: Callable[[], Locale] = Locale

    def __repr__(self) -> str:
        return f"<Session of {self.config.alias!r}>"

    @property
    def transport(self) -> Transport:
        return transport_for(self.config)

    @property
    def signer(self) -> Any:
        """Signer of requests and answers; None where the settings name no client, or where messages stay in a test."""
        transport = placed(self.config.alias)
        return self._signer if transport is None or transport.signed else None

    @property
    def service(self) -> str:
        """Name of this service in `ModelSource` nodes: its alias in DATABASES."""
        return self.config.alias

    def options(self, timeout: float | None = None, priority: bool = False) -> Options:
        """Return the options of a call; None means the TIMEOUT of the service."""
        return Options(self.config.timeout if timeout is None else check_timeout(timeout), priority)

    @property
    def timeout(self) -> float | None:
        """Longest duration of a message by the settings, in seconds; None means no limit."""
        return self.config.timeout

    #: True where ``send`` can also request an explanation of a stage.
    can_explain = True

    @property
    def runs_here(self) -> bool:
        """True where ``send`` evaluates the request in the calling thread."""
        transport = placed(self.config.alias)
        return self.config.eager if transport is None else transport.runs_here

    def compute(
        self,
        outputs: Sequence[Output],
        options: Options | None = None,
        *,
        timeout: float | None = None,
        priority: bool = False,
    ) -> list[Any]:
        """Return the values of ``outputs``, with one message where this service can evaluate all of them.

        ``options`` are used unchanged; ``timeout`` and ``priority`` are for callers without ``options``. Raise the
        error of the service, or an `errors.RpcError`.
        """
        return run.compute(outputs, [self], **_given(options, timeout, priority)) if outputs else []

    def submit(
        self,
        outputs: Sequence[Output],
        options: Options | None = None,
        *,
        timeout: float | None = None,
        priority: bool = False,
    ) -> list[Future[Any]]:
        """Send one message, and return a future for each output at once. Raise the errors of sending."""
        return run.submit(outputs, [self], **_given(options, timeout, priority)) if outputs else []

    def send(
        self,
        stage: Stage,
        *,
        timeout: float | None = None,
        priority: bool = False,
        asking: ReportRequest | None = None,
        links: Links | None = None,
        locale: Locale | None = None,
    ) -> PendingCall:
        """Send the message of one stage. ``timeout`` None means the timeout of the settings, `run.NO_LIMIT` no timeout.

        ``asking`` requests more than values, and has the function that receives the response. ``links`` connect the
        message to other messages; a message that waits for values is stored where these are collected. ``locale`` is
        the locale of the caller. It is needed in another thread, where Django's zone and language of the caller are not
        active.
        """
        options = Options(None, priority) if timeout == run.NO_LIMIT else self.options(timeout, priority)
        return self._send(stage, options, asking, links, locale)

    def why_not_to(self, other: Any) -> str:
        """Return the reason why this service does not forward values to the session ``other``; "" where it does.

        Where a service does not forward values, the client carries them.
        """
        return why_not(self, other)

    def ids(self, *, writes: bool) -> Ids:
        """Return the ids of the next message, for other messages that name it before it is sent."""
        return ids_for(writes, self.config.exactly_once)

    def gather(self, items: Sequence[Output | Future[Any]], options: Options | None = None) -> list[Any]:
        """Return the values of all ``items`` in their order: wait for futures, and send all other items in one message.

        The message is sent before the first future is awaited, so that both run at the same time.
        """
        unsent = iter(self.submit([item for item in items if not isinstance(item, Future)], options))
        futures = [item if isinstance(item, Future) else next(unsent) for item in items]
        return [future.result() for future in futures]

    def outcome(
        self, request_id: str, *, settle: bool = False, timeout: float | None = None, priority: bool = False
    ) -> outcomes.Outcome:
        """Return the outcome of the request with this id; see `django_rpc.outcome`."""
        return outcomes.ask(self, request_id, settle=settle, timeout=timeout, priority=priority)

    # -- one call -----------------------------------------------------------------------------------

    def _send(
        self, stage: Stage, options: Options, asking: ReportRequest | None, links: Links | None, locale: Locale | None
    ) -> PendingCall:
        started = time.perf_counter()
        what = "" if asking is None else asking.kind
        links = links or Links(self.ids(writes=stage.writes and what != "explain"))
        locale = self.locale() if locale is None else locale
        trace = True in [hook.wants_sql for hook in self.hooks]
        request = self._request(stage, options, what, links, locale, trace=trace)
        sent = Sent(
            service=self.config.alias,
            queue=self.config.queue(priority=options.priority),
            request=request,
            started=started,
        )
        ends = [end for hook in self.hooks if (end := hook.message_begins(sent)) is not None]
        call = _SentMessage(self, request, sent, ends, None if asking is None else asking.receive, links, locale)
        try:
            sent.data = encode_request(request, naive_zone=locale.naive_zone)
            sent.bytes_of_request = len(sent.data)
            reply = self._put(call, options, repeatable=links.ids.insists or not stage.writes)
        except WireError as error:
            report = ErrorReport(code=error.code, message=str(error), node=error.node)
            failure = call.failure(report)
            call.end(failure)
            raise failure from error
        except errors.RpcError as error:
            call.end(error)
            raise
        if options.timeout is not None:  # sending took a part of the time, and more where a broker was unavailable
            options = Options(max(options.timeout - (time.perf_counter() - started), 0.0), options.priority)
        return PendingCall(request.id, reply, options, call.settle, call.end, call)

    def _put(self, call: _SentMessage, options: Options, *, repeatable: bool) -> Reply:
        links = call.links
        headers, data = call.sent.headers, call.sent.data
        token = None if self.signer is None else self.signer.sign(data, call.request.id, options.timeout)
        if links.given:
            waiting = Waiting(tuple([origin.id for origin in links.given]), links.failures)
            return self.transport.deposit(data, links.ids.message, options, waiting, token, headers)
        return self.transport.send(
            data, links.ids.message, options, repeatable=repeatable, token=token, headers=headers
        )

    def _request(
        self, stage: Stage, options: Options, asking: Any, links: Links, locale: Locale, *, trace: bool
    ) -> Request:
        now = time.time()
        return Request(
            id=links.ids.request,
            once=links.ids.insists,
            given=links.given,
            then=links.then,
            back=links.back,
            nodes=stage.nodes,
            outputs=stage.outputs,
            client=ClientInfo(host=_HOST, process=os.getpid(), name=_PROGRAM, called_at=now),
            expires=None if options.timeout is None else now + options.timeout,
            shapes={} if _are_rows(stage) else dict(self.results.shapes(stage.nodes)),
            trace=trace,
            asking=asking,
            zone=locale.zone,
            default_zone=locale.default_zone,
            language=locale.language,
        )


def _are_rows(graph: Stage | Request) -> bool:
    """Return True if all outputs are rows, which name their columns: the reply has no instances."""
    return all(type(graph.nodes[index]) is Rows for index in graph.outputs)


def _given(options: Options | None, timeout: float | None, priority: bool) -> dict[str, Any]:
    if options is not None:
        return {"timeout": run.NO_LIMIT if options.timeout is None else options.timeout, "priority": options.priority}
    return {"timeout": timeout, "priority": priority}


class _SentMessage:
    """State of one message between its sending and its end."""

    __slots__ = ("ends", "links", "locale", "receive", "request", "sent", "session")

    def __init__(
        self,
        session: Session,
        request: Request,
        sent: Sent,
        ends: list[MessageEnd],
        receive: Callable[[Response], object] | None,
        links: Links,
        locale: Locale,
    ) -> None:
        self.session = session
        self.request = request
        self.sent = sent
        self.ends = ends
        self.receive = receive
        self.links = links
        self.locale = locale

    def settle(self, answer: bytes) -> list[Any]:
        """Return the outputs' values, which may contain `FailedOutput`; raise the error of the call."""
        self.sent.bytes_of_answer = len(answer)
        response = self._decode(answer)
        self.sent.trace = response.trace
        if self.receive is not None:
            self.receive(response)
        if response.error is not None:
            self.sent.code = response.error.code
            raise self.failure(response.error)
        count = len(self.request.outputs if self.links.back is None else self.links.back)
        expected = 0 if self.request.asking == "explain" else count
        if len(response.outputs) != expected:
            raise errors.BadResponse(
                f"Request {self.request.id} was answered with {len(response.outputs)} values instead of {expected}."
            )
        results = self.session.results
        if not _are_rows(self.request):
            results = results.of(self.request.nodes)
        values = [
            FailedOutput(self.failure(value))
            if type(value) is ErrorReport
            else decode_result(value, results, self.failure)
            for value in response.outputs
        ]
        values = self.links.expanded(values, len(self.request.outputs))
        if self.request.asking == "explain":
            return values  # a service that explains evaluates nothing
        for index, value in zip(self.request.outputs, values, strict=True):
            check_answer(self.request.nodes[index], value)
        return values

    # For messages that receive values of this message.

    def origin(self) -> Origin:
        """Return the identity of this message, so that another service can check the origin of its values."""
        signer = self.session.signer
        return Origin(id=self.request.id) if signer is None else signer.origin(self.sent.data, self.request.id)

    @property
    def failing(self) -> tuple[str, Callable[[bytes], Exception]]:
        """List that receives only a failure of this request, and the function that makes its error."""
        return reply_key(self.links.ids.message), self._failed

    def _failed(self, answer: bytes) -> Exception:
        try:
            self.settle(answer)
        except Exception as error:  # noqa: BLE001 - the error of the caller that waits for a later message
            self.end(error)
            return error
        return errors.BadResponse(f"Request {self.request.id} was answered, though its values were to go on.")

    def _decode(self, answer: bytes) -> Response:
        if self.session.signer is not None:
            answer = self.session.signer.open(answer, self.request.id, self.sent.data)
        try:
            response = decode_response(answer, naive_zone=self.locale.naive_zone)
        except WireError as error:
            kind = errors.VersionMismatch if error.code == "VersionMismatch" else errors.BadResponse
            raise kind(f"The answer to request {self.request.id} cannot be read: {error}") from error
        # A server that cannot read the id of the request answers with an empty id and an error.
        if response.id != self.request.id and (response.id or response.error is None):
            raise errors.BadResponse(f"The answer to request {self.request.id} is of request {response.id!r}.")
        return response

    def failure(self, report: ErrorReport) -> Exception:
        """Return the exception for a report, with the failed node and the user's line as notes."""
        nodes, outputs = self.request.nodes, self.request.outputs
        node = nodes[report.node] if report.node is not None and 0 <= report.node < len(nodes) else None
        error = self.session.results.of(nodes).error(report, node)
        annotate(
            error,
            node=None if node is None else describe(node),
            where=None if node is None else node.where,
            request_id=self.request.id,
            traceback=report.traceback,
            graph=FailedGraph(tuple([nodes[index] for index in outputs]), node),
        )
        return error

    def end(self, error: Exception | None) -> None:
        """Log the call, and notify the hooks. Called once for each end of a wait."""
        seconds = self.sent.seconds
        request = self.request
        note_end(self.session.config.alias, error)
        if isinstance(error, errors.RpcError):  # the transport may name the id of its message instead
            error.request_id = request.id
        # An error of the service (such as DoesNotExist) is an answer, and the caller handles it.
        level = logging.WARNING if isinstance(error, WEATHER) else logging.INFO
        if logger.isEnabledFor(level):
            logger.log(
                level,
                "%s: request %s, %d %s, %.1f ms%s",
                self.session.config.alias,
                request.id,
                len(request.outputs),
                "output" if len(request.outputs) == 1 else "outputs",
                seconds * 1000,
                "" if error is None else f", {type(error).__name__}: {error}",
                extra={
                    "rpc_service": self.session.config.alias,
                    "rpc_request": request.id,
                    "rpc_seconds": seconds,
                    "rpc_outputs": len(request.outputs),
                    "rpc_error": None if error is None else type(error).__name__,
                    **claims(request.client),
                },
            )
        self.sent.error = error
        for end in reversed(self.ends):
            end(self.sent)
