"""Answers by Celery's result backend: a database, Memcached, or any other backend of Celery."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping

from celery import exceptions as celery_errors
from celery import states
from celery.result import AsyncResult

from django_rpc.errors import ImproperSettings, ResultBackendUnavailable
from django_rpc.transport.base import Options, Reply, Transport
from django_rpc.transport.config import Config
from django_rpc.transport.publish import Publisher
from django_rpc.transport.reply import failure_of, no_answer
from django_rpc.transport.revoke import cancel
from django_rpc.transport.worker_presence import Presences

__all__ = ["ResultBackendTransport"]

logger = logging.getLogger("django_rpc.client")

#: Seconds between two reads of a backend that cannot notify the client.
_INTERVAL = 0.02


class ResultBackendTransport(Transport):
    """Transport of requests by Celery's broker, and of answers by the result backend of the settings."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.publisher = Publisher(config)
        self.presences = Presences(self.publisher)
        try:
            _ = self.publisher.app.backend
        except Exception as error:
            raise ImproperSettings(f"The RESULT_BACKEND of {config.alias!r} cannot be used: {error}") from error

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
        self.publisher.publish(request, request_id, options, repeatable=repeatable, token=token, headers=headers)
        return _StoredReply(self, request_id, options)


class _StoredReply(Reply):
    def __init__(self, transport: ResultBackendTransport, request_id: str, options: Options) -> None:
        self._transport = transport
        self._request_id = request_id
        self._options = options
        self._worker_check = transport.presences.begin_check(request_id, options)

    def _result(self) -> AsyncResult:
        # The waiting thread makes it, since Celery has one backend for each thread.
        return self._transport.publisher.app.AsyncResult(self._request_id)

    def wait(self, timeout: float | None) -> bytes:
        result = self._result()
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            seconds = min(deadline - time.monotonic(), self._worker_check.seconds())
            try:
                # Zero would mean "no limit" to some backends.
                value = result.get(
                    timeout=None if math.isinf(seconds) else max(seconds, 0.001),
                    interval=_INTERVAL,
                    propagate=False,
                    disable_sync_subtasks=False,  # the caller may be a task of a worker other than the one it calls
                )
                state = result.state
                break
            except celery_errors.TimeoutError:
                if time.monotonic() >= deadline:
                    raise no_answer(self._transport.config, self._request_id, self._options, timeout) from None
            except Exception as error:
                raise self._unavailable(error) from error
            self._worker_check.look()
        self._forget(result)
        if state == states.SUCCESS and isinstance(value, str):
            return value.encode()
        raise failure_of(self._request_id, state, value)

    def _forget(self, result: AsyncResult) -> None:
        try:
            result.forget()  # no other thread reads it
        except Exception:
            # A backend that cannot forget lets results expire; the answer has arrived nevertheless.
            logger.debug("The result of request %s was not forgotten.", self._request_id, exc_info=True)

    def ready(self) -> bool:
        try:
            return bool(self._result().ready())
        except Exception:  # noqa: BLE001 - each backend has its exceptions, and `wait` raises them
            return False

    def cancel(self) -> bool:
        return not self.ready() and cancel(self._transport.publisher.app, self._request_id)

    def _unavailable(self, error: Exception) -> ResultBackendUnavailable:
        failure = ResultBackendUnavailable(
            f"The result backend of {self._transport.config.alias!r} failed while request {self._request_id} waited "
            f"for its answer ({error!r}). The request was sent and may have run. Is RESULT_BACKEND right?"
        )
        failure.request_id = self._request_id
        return failure
