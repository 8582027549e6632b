"""Celery task of a service: it calls ``django_rpc.server.serve`` with a request, and sends the answer."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from billiard.exceptions import WorkerLostError
from celery import Celery, signals
from celery.backends.rpc import RPCBackend
from celery.exceptions import InvalidTaskError
from celery.states import SUCCESS
from celery.worker import state
from celery.worker.request import Request as WorkerRequest
from django.db import close_old_connections

from django_rpc.celery.compat import is_stopped
from django_rpc.celery.envelope import Malformed, TaskHeaders, read_task
from django_rpc.celery.forwarding import hand_over
from django_rpc.celery.worker_heartbeat import announce
from django_rpc.errors import HandOverFailed
from django_rpc.wire.codec import encode_response
from django_rpc.wire.messages import ErrorReport, Response
from django_rpc.wire.names import MAILBOX_PREFIX, PRUNE_TASK_NAME, TASK_NAME, is_redis, reply_key, request_of

if TYPE_CHECKING:
    from django_rpc.celery.reply_list import ReplyLists
    from django_rpc.server import Sending

__all__ = ["register"]

logger = logging.getLogger("django_rpc.server")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
#: Signatures that Celery would run after the task: of any task, from any program with access to the broker.
_FOREIGN = ("callbacks", "errbacks", "chain", "chord")
#: Errors that Celery reports in the main process after the end of a pool process, which cannot answer itself.
_LOST = ("WorkerLostError", "TimeLimitExceeded", "Terminated")
#: Errors of a pool for a process that ended without an order.
_DEATHS = (WorkerLostError, SystemExit)


class TaskRequest(WorkerRequest):
    """A message of the schema (`envelope`) in the worker's main process.

    The consumer of ``django_rpc.celery.app`` has read the message already. The consumer of a project's app has not.
    """

    def __init__(self, message: Any, *args: Any, **kwargs: Any) -> None:
        """Check a message that is not checked yet; raise InvalidTaskError for a message of another form."""
        if not isinstance(kwargs.get("headers"), TaskHeaders):
            try:
                task = read_task(message.headers, message.properties, message.body, message.content_type)
            except Malformed as error:
                raise InvalidTaskError(str(error)) from None
            kwargs.update(headers=task.headers, body=task.body, decoded=False)
            message.properties = task.properties
        super().__init__(message, *args, **kwargs)

    def info(self, safe: bool = True) -> dict[str, Any]:
        """Return the data for ``celery inspect``, without the data of the request and its token."""
        return dict(super().info(safe=True))

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """Return the message of a dead process to the broker. Do it only once, because the message may be the cause."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if not isinstance(error, _DEATHS) or is_stopped(self) or self.delivery_info.get("redelivered"):
            super().on_failure(exc_info, send_failed_event, return_ok)
            return
        logger.warning("A process died while it worked on a request (%s): it is begun again.", error)
        state.task_ready(self)
        self.reject(requeue=True)


def register(app: Celery, *, reply_url: str | None = None) -> Any:
    """Add the task to ``app``, so that its workers answer calls, and return it. Also add ``django_rpc.prune`` for beat.

    Answers are sent to reply lists if the app's result backend is Redis (or ``reply_url`` names a Redis), and otherwise
    with the app's result backend. The workers of the app consume its queues; clients name the queues.

    >>> register(Celery("project", broker="redis://localhost/", set_as_current=False)).name
    'django_rpc.call'
    """
    lists = _ReplyListsOfApp(app, reply_url)
    of_schema = f"{TaskRequest.__module__}:{TaskRequest.__qualname__}"

    def call(task: Any, text: str, reply_to: str | None = None, token: str | None = None) -> str | None:
        return _call(task, text, reply_to, token, lists)

    task = app.task(
        call,
        name=TASK_NAME,
        bind=True,
        shared=False,  # only for this app, and not for every app of the process
        acks_late=True,
        serializer="json",
        # Errors are answers. Errors of Celery itself are for its log.
        throws=(),
        resultrepr_maxsize=0,  # answers are data, and do not belong in the log of the worker
        Request=of_schema,
        reply_lists=lists,
        on_success=_finish,
    )
    app.task(_prune, name=PRUNE_TASK_NAME, shared=False, ignore_result=True, serializer="json", Request=of_schema)
    signals.task_failure.connect(_answer_for_the_lost, weak=False, dispatch_uid="django_rpc.worker_lost")
    announce(app, reply_url)
    return task


def _prune() -> dict[str, int]:
    """Delete old entries of the ledger, as ``manage.py rpc_prune`` does; Celery beat calls it."""
    from django_rpc.server.ledger.pruning import prune

    close_old_connections()
    try:
        return prune()
    finally:
        close_old_connections()


class _ReplyListsOfApp:
    """The reply lists of an app, created for the first answer, because settings may change after `register`."""

    def __init__(self, app: Celery, url: str | None) -> None:
        self._app = app
        self._url = url
        self._made: ReplyLists | None = None

    def of(self, task_id: str, key: str) -> ReplyLists | None:
        """Return the reply lists; None if the key does not belong to this request, or if there are no lists."""
        if not _REQUEST_ID.fullmatch(task_id or "") or key != reply_key(task_id):
            logger.error("A request named the reply list of another request: refused.")
            return None
        if self._made is None:
            url = self._url or self._app.conf.result_backend
            if not is_redis(url):
                logger.error(
                    "Request %s wants its answer on a Redis list, but the RESULT_BACKEND of this worker is %s: set the "
                    "same RESULT_BACKEND at both ends.",
                    task_id,
                    self._app.backend.as_uri(),
                )
                return None
            from django_rpc.celery.reply_list import ReplyLists  # needs redis-py, which other result backends do not

            self._made = ReplyLists(url)
        return self._made


def _call(task: Any, text: str, reply_to: str | None, token: str | None, lists: _ReplyListsOfApp) -> str | None:
    request = task.request
    if request.is_eager:  # in the caller's thread and transaction, with the caller's database connections
        sending = _answer(request, text, token, None)
        sending.finish()
        return _returned(sending)
    close_old_connections()
    try:
        there = None if reply_to is None else lists.of(request.id, reply_to)
        sending = _answer(request, text, token, there)
        request.django_rpc_finish = sending.finish
        if reply_to is None:
            return None if _mailed(task, request, sending) else _returned(sending)
        if there is not None:
            _send(task.app, there, request, sending, (text, token))
        return None
    finally:
        close_old_connections()  # after the client has received its answer


def _returned(sending: Sending) -> str:
    """Return the answer as the result of the task. It has no values for other services, because none were requested."""
    return (sending.answer or b"").decode()


def _mailed(task: Any, request: Any, sending: Sending) -> bool:
    """Send the answer to the client's reply queue if Celery does not, because RESULT_BACKEND is not ``rpc://``."""
    queue = request.reply_to
    if isinstance(task.backend, RPCBackend) or not isinstance(queue, str) or not queue.startswith(MAILBOX_PREFIX):
        return False
    RPCBackend(task.app).store_result(request.id, _returned(sending), SUCCESS, request=request)
    return True


def _send(app: Celery, lists: ReplyLists, request: Any, sending: Sending, message: tuple[str, str | None]) -> None:
    """Send values to other services, and then the answer, because the answer must report a failure to send them."""
    answer = sending.answer
    try:
        hand_over(app, lists, request_of(request.id), sending)
    except HandOverFailed as error:
        logger.warning("The values of request %s were not sent to other services: %s", request.id, error)
        answer = _sealed(_refusal(request.id, error.code, str(error)), message, request.id)
    except Exception as error:  # any error of Redis or the broker; the client must get an error instead of waiting
        logger.exception("The values of request %s could not be sent to other services.", request.id)
        explanation = (
            f"The service could not send its values to the next service ({type(error).__name__}); its log has the "
            "reason."
        )
        answer = _sealed(_refusal(request.id, "HandOverFailed", explanation), message, request.id)
    if answer is not None:
        lists.push(reply_key(request.id), answer)


def _finish(task: Any, *_: Any) -> None:
    """Call ``finish`` after the answer has reached the client's list or queue, because the worker may die before."""
    finish = getattr(task.request, "django_rpc_finish", None)
    if finish is not None:
        finish()


def _answer(request: Any, text: str, token: str | None, lists: ReplyLists | None) -> Sending:
    """Return the answer, and the function to call after it has been sent."""
    from django_rpc.server import Sending, serve, tell  # needs the app registry, which is not ready at Celery's import

    message = _bytes(text)
    foreign = [name for name in _FOREIGN if getattr(request, name, None)]
    if foreign:
        for name in _FOREIGN:
            setattr(request, name, None)  # Celery reads them after the return of the task
        tell(request.id or "", "refused", "BadRequest", f"it carries {', '.join(foreign)}.")
        refusal = _refusal(request.id, "BadRequest", f"A request must not carry Celery's {', '.join(foreign)}.")
        return Sending(_sealed(refusal, (text, token), request.id), _nothing)
    inputs = _ForwardedInputs(lists, request.id)
    try:
        again = bool((request.delivery_info or {}).get("redelivered"))
        headers = (request.headers or {}) if request.is_eager else vars(request)
        sending = serve(message, token, request.id or "", again, headers, inputs)
    except Exception:  # a defect of the server: the client gets an error instead of waiting for its timeout
        logger.exception("Request %s could not be answered.", ascii(request.id)[:200])
        refusal = _refusal(request.id, "Remote", "The service failed with an unexpected error; its log has the error.")
        return Sending(_sealed(refusal, (text, token), request.id), _nothing)
    return sending._replace(finish=inputs.closing(sending.finish))


class _ForwardedInputs:
    """The values from other services for one message, until the message has been answered."""

    def __init__(self, lists: ReplyLists | None, message_id: str) -> None:
        self._lists = lists
        self._message_id = message_id
        self._opened = False

    def __call__(self, origins: Sequence[str]) -> dict[str, bytes]:
        if self._lists is None:
            return {}
        self._opened = True
        return self._lists.given(self._message_id, origins)

    def closing(self, finish: Callable[[], None]) -> Callable[[], None]:
        """Return a function that calls ``finish`` and then deletes the values.

        Until then the values are needed, because the message may be delivered again.
        """

        def both() -> None:
            finish()
            if self._lists is None or not self._opened:
                return
            try:
                self._lists.forget(self._message_id)
            except Exception:  # the request was answered, and the values expire
                logger.warning("The values from other services could not be deleted.", exc_info=True)

        return both


def _bytes(text: Any) -> bytes:
    """Return the bytes of the message. A value that is not text becomes empty, which the server refuses."""
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else b""


def _nothing() -> None:
    """Do nothing."""


def _refusal(message_id: str | None, code: str, message: str) -> bytes:
    return encode_response(Response(id=request_of(message_id or ""), error=ErrorReport(code=code, message=message)))


def _answer_for_the_lost(
    sender: Any = None, task_id: str = "", exception: Any = None, args: Any = None, kwargs: Any = None, **_: Any
) -> None:
    """In the main process: notify the client and the observers that the process of its request has ended."""
    if getattr(sender, "name", None) != TASK_NAME or type(exception).__name__ not in _LOST:
        return
    from django_rpc.server import tell

    tell(task_id, "unknown", "WorkerLost", str(exception))
    reply_to = (kwargs or {}).get("reply_to")
    if reply_to is None:
        return  # Celery has stored the failure in its result backend
    message = f"The process that worked on the request has ended ({exception}). It may have written, or not."
    lists = sender.reply_lists.of(task_id, reply_to)
    if lists is not None:
        answer = _sealed(_refusal(task_id, "WorkerLost", message), (args[0], kwargs.get("token")), task_id)
        lists.push(reply_to, answer)


def _sealed(answer: bytes, message: tuple[str, str | None], task_id: str | None) -> bytes:
    from django_rpc.server import seal

    text, token = message
    return seal(answer, _bytes(text), token, task_id or "")
