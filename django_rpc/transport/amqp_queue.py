"""One reply queue on the broker for all threads of a process.

A thread that waits for an answer reads the connection itself, if no other thread reads it, and distributes the answers
of the other threads. So the package needs no thread and no polling, and a fork loses nothing.
"""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

from celery import Celery
from celery.states import READY_STATES
from kombu import Connection, Consumer, Queue

from django_rpc.transport.connections import failures_of, open_connection, reach
from django_rpc.transport.fork_safety import forget_after_fork
from django_rpc.wire.names import MAILBOX_PREFIX

__all__ = ["Mailbox"]

#: Longest wait for one operation on the socket.
_SOCKET_SECONDS = 5.0
_PAUSE = 0.1
#: Longest silence before the connection is checked again.
_CHUNK = 30.0
#: Limit of remembered requests, since an answer may be awaited later, or never. The oldest request is forgotten first.
_MAX_EXPECTED = 10_000


class Mailbox:
    """Results that workers send to this process, by the id of the request."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._begin()
        forget_after_fork(self)

    def _begin(self) -> None:
        self.name = MAILBOX_PREFIX + uuid.uuid4().hex
        self.failures: tuple[type[BaseException], ...] = (OSError,)
        self._condition = threading.Condition()
        self._reading = False  # True while a thread reads the connection
        self._declared = False  # True while the broker has the queue, as far as the reading thread knows
        self._connection: Any = None
        self._expected: dict[str, None] = {}
        self._answers: dict[str, dict[str, Any]] = {}
        self._broken: tuple[float, BaseException] | None = None

    def after_fork(self) -> Any:
        old = self._connection
        self._begin()
        return old

    def expect(self, request_id: str, seconds: float) -> None:
        """Remember a request before it is sent, and return when the broker has the reply queue.

        An answer to a missing queue is lost. So a thread waits while another thread connects. Raise one of ``failures``
        where the broker does not have the queue within ``seconds``.
        """
        deadline = time.monotonic() + seconds
        with self._condition:
            self._expected[request_id] = None
            if len(self._expected) > _MAX_EXPECTED:
                self._forget(next(iter(self._expected)))
            while self._reading and not self._declared:
                if not self._condition.wait(max(deadline - time.monotonic(), 0.0)):
                    raise TimeoutError(f"the reply queue could not be declared within {seconds:.3g} s")
            if self._reading:
                return
            self._reading = True
            self._declared = False  # the connection may have broken while it was idle
        try:
            used = self._connection is not None
            try:
                self._read(0.0, seconds)
            except self.failures:
                if not used:
                    raise
                self._hang_up()  # the connection broke while it was idle
                self._read(0.0, max(deadline - time.monotonic(), _PAUSE))
            self._declared = True
        except BaseException:
            self._hang_up()
            raise
        finally:
            self._done_reading()

    def take(self, request_id: str, deadline: float | None) -> dict[str, Any] | None:
        """Return the result message for a request, or None after the deadline."""
        while True:
            with self._condition:
                answer = self._answers.pop(request_id, None)
                if answer is not None:
                    self._expected.pop(request_id, None)
                    return answer
                remaining = _CHUNK if deadline is None else min(deadline - time.monotonic(), _CHUNK)
                if deadline is not None and remaining <= 0:
                    return None
                if self._reading:
                    self._condition.wait(remaining)
                    continue
                self._reading = True
            try:
                self._read(remaining, remaining)
            except self.failures as error:
                self._broken = (time.monotonic(), error)
                self._hang_up()
                time.sleep(min(_PAUSE, remaining))
            finally:
                self._done_reading()

    def arrived(self, request_id: str) -> bool:
        """Read the messages that the broker has sent, and return True if the answer is among them."""
        with self._condition:
            if request_id in self._answers or self._reading:
                return request_id in self._answers
            self._reading = True
        try:
            self._read(0.0, _SOCKET_SECONDS)
        except self.failures as error:
            self._broken = (time.monotonic(), error)
            self._hang_up()
        finally:
            self._done_reading()
        return request_id in self._answers

    def status(self, request_id: str) -> str | None:
        """Return Celery's state of an answer that has arrived."""
        answer = self._answers.get(request_id)
        return None if answer is None else answer.get("status")

    def broke_since(self, moment: float) -> BaseException | None:
        """Return the last break of the connection after ``moment`` (time.monotonic), or None."""
        broken = self._broken
        return broken[1] if broken is not None and broken[0] >= moment else None

    # -- only for the reading thread ----------------------------------------------------------------

    def _read(self, patience: float, connect_seconds: float) -> None:
        """Wait for at most ``patience`` seconds for one event, then process all other events that have arrived."""
        if self._connection is None:
            self._connect(max(connect_seconds, _PAUSE))
        try:
            while True:
                self._connection.drain_events(timeout=patience)
                patience = 0.0
        except TimeoutError:
            return

    def _connect(self, seconds: float) -> None:
        seconds = min(seconds, _SOCKET_SECONDS)
        connection: Connection = open_connection(self._app, seconds)
        self._connection = connection
        self.failures = failures_of(connection)
        reach(connection, seconds)
        # The name stays the same after a break, so that workers can still send their answers to the queue.
        queue = Queue(self.name, durable=False, exclusive=True, auto_delete=True)
        consumer = Consumer(
            connection.default_channel, [queue], callbacks=[self._on_message], no_ack=True, accept=["json"]
        )
        consumer.consume()
        with self._condition:
            self._declared = True
            self._condition.notify_all()

    def _on_message(self, payload: Any, message: Any) -> None:
        if not isinstance(payload, dict) or payload.get("status") not in READY_STATES:
            return  # "started" and similar states
        request_id = payload.get("task_id")
        with self._condition:
            if request_id in self._expected:
                self._answers[request_id] = payload

    def _hang_up(self) -> None:
        self._declared = False
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.collect(socket_timeout=0.1)

    def _done_reading(self) -> None:
        with self._condition:
            self._reading = False
            self._condition.notify_all()

    def _forget(self, request_id: str) -> None:
        self._expected.pop(request_id, None)
        self._answers.pop(request_id, None)
