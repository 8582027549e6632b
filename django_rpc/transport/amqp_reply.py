"""Answers by ``rpc://``: the worker's Celery sends its result to a queue of this process on the broker.

The worker is unchanged Celery. The client does not use Celery's code, which binds a result to the thread that sent the
request, retries for 20 s without a broker, and is not meant for use inside a task.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from celery.states import REVOKED, SUCCESS

from django_rpc.errors import ResultBackendUnavailable
from django_rpc.transport.amqp_queue import Mailbox
from django_rpc.transport.base import Options, Reply, Transport
from django_rpc.transport.config import Config
from django_rpc.transport.publish import Publisher
from django_rpc.transport.reply import failure_of, no_answer
from django_rpc.transport.revoke import cancel
from django_rpc.transport.worker_presence import Presences

__all__ = ["RpcReplyTransport"]

#: Longest attempt to reach the broker for the reply queue.
_CONNECT_SECONDS = 5.0


class RpcReplyTransport(Transport):
    """Transport of requests and answers by the broker."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.publisher = Publisher(config)
        self.mailbox = Mailbox(self.publisher.app)
        self.presences = Presences(self.publisher)

    def send(
        self,
        request: bytes,
        request_id: str,
        options: Options,
        *,
        repeatable: bool = False,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        started = time.monotonic()
        try:
            # An answer to a missing queue is lost, so the queue is declared first.
            self.mailbox.expect(request_id, min(options.timeout or _CONNECT_SECONDS, _CONNECT_SECONDS))
        except self.mailbox.failures as error:
            raise self.publisher.unavailable(error, request_id, maybe_sent=False) from error
        if options.timeout is not None:
            remaining = options.timeout - (time.monotonic() - started)
            options = Options(max(remaining, 0.1), options.priority)
        self.publisher.publish(
            request,
            request_id,
            options,
            repeatable=repeatable,
            reply_queue=self.mailbox.name,
            token=token,
            headers=headers,
        )
        return _MailedReply(self, request_id, options, started)


class _MailedReply(Reply):
    """Reply to one request. ``sent`` is the time when its sending began (``time.monotonic()``)."""

    def __init__(self, transport: RpcReplyTransport, request_id: str, options: Options, sent: float) -> None:
        self._transport = transport
        self._request_id = request_id
        self._options = options
        self._sent = sent
        self._worker_check = transport.presences.begin_check(request_id, options)

    def wait(self, timeout: float | None) -> bytes:
        mailbox = self._transport.mailbox
        if timeout == 0:
            mailbox.arrived(self._request_id)
        message = self._take(timeout)
        if message is None:
            config = self._transport.config
            broken = mailbox.broke_since(self._sent)
            if broken is None:
                raise no_answer(config, self._request_id, self._options, timeout)
            raise ResultBackendUnavailable(
                f"The broker of {config.alias!r} was lost while request {self._request_id} waited for its answer "
                f"({broken!r}). The request was sent and may have run. Is the broker running?"
            ) from broken
        value = message.get("result")
        if message.get("status") == SUCCESS and isinstance(value, str):
            return value.encode()
        raise failure_of(self._request_id, str(message.get("status")), value)

    def _take(self, timeout: float | None) -> dict[str, Any] | None:
        """Return the result message, or None after the timeout. Raise NoWorker where no worker will send a message."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            until = min(deadline, time.monotonic() + self._worker_check.seconds())
            message = self._transport.mailbox.take(self._request_id, None if math.isinf(until) else until)
            if message is not None or time.monotonic() >= deadline:
                return message
            self._worker_check.look()

    def ready(self) -> bool:
        return self._transport.mailbox.arrived(self._request_id)

    def cancel(self) -> bool:
        if self.ready() or not cancel(self._transport.publisher.app, self._request_id):
            return False
        # A worker that held the message reports the revocation; a worker that had begun the message has answered.
        return not self.ready() or self._transport.mailbox.status(self._request_id) == REVOKED
