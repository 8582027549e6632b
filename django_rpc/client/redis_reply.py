"""Answers on a Redis list of the request, on which the client blocks.

Celery's result machinery (subscribe, read, publish, store, unsubscribe) costs more than everything else in a
call.  Here the server pushes the answer's bytes to one list with an expiry, and the client takes them with BLPOP.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import redis

from django_rpc.client.config import Config
from django_rpc.client.control import cancel
from django_rpc.client.errors import ResultBackendUnavailable
from django_rpc.client.forks import Pool
from django_rpc.client.publish import Publisher
from django_rpc.client.redis_async import inbox
from django_rpc.client.replies import no_answer
from django_rpc.client.transport import Options, Reply
from django_rpc.wire.names import redis_url, reply_key

__all__ = ["RedisReplyTransport"]

#: Longest single BLPOP: its empty answer shows that the server lives, where a dead peer would be silent for ever.
_CHUNK = 30.0
#: Redis ends a BLPOP by itself; this much later we stop believing that it will.
_GRACE = 0.5
#: Pause between attempts to reach a result backend that refuses.
_PAUSE = 0.1
#: Longest and shortest wait for one operation on a socket, apart from BLPOP.
_SOCKET_SECONDS = 5.0
_LEAST_SECONDS = 0.5
#: A rest of a time-out that is not worth a BLPOP.
_TICK = 0.001

_BROKEN = (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError, OSError)


class RedisReplyTransport:
    """Requests by Celery's broker, answers by a Redis list."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.publisher = Publisher(config)
        # Its `make_connection` knows URLs; its pool keeps statistics that cost as much as a command.
        factory = redis.ConnectionPool.from_url(redis_url(config.result_backend or ""), health_check_interval=0)
        self._make: Callable[[], Any] = factory.make_connection
        self.connections: Pool[Any] = Pool(lambda: None)

    def connect(self, patience: float) -> Any:
        """A connection that is alive: an idle one, or a new one made within about ``patience`` seconds."""
        connection = self.connections.take()
        while connection is not None:
            try:
                if not connection.can_read(timeout=0):
                    return connection
            except _BROKEN:
                pass
            connection.disconnect()  # the server hung up while it was idle: nothing is lost with it
            connection = self.connections.take()
        connection = self._make()
        seconds = max(min(patience, _SOCKET_SECONDS), _LEAST_SECONDS)
        connection.socket_timeout = connection.socket_connect_timeout = seconds
        connection.connect()
        return connection

    def send(
        self, request: bytes, request_id: str, options: Options, *, repeatable: bool = False, token: str | None = None
    ) -> Reply:
        key = reply_key(request_id)
        self.publisher.publish(request, request_id, options, repeatable=repeatable, reply_list=key, token=token)
        return _RedisReply(self, request_id, key, options)


class _RedisReply:
    def __init__(self, transport: RedisReplyTransport, request_id: str, key: str, options: Options) -> None:
        self._transport = transport
        self._request_id = request_id
        self._key = key
        self._options = options

    def wait(self, timeout: float | None) -> bytes:
        deadline = None if timeout is None else time.monotonic() + timeout
        lost: Exception | None = None  # a connection that broke while we waited
        while True:
            try:
                answer = self._ask(None if deadline is None else deadline - time.monotonic())
                if answer is not None:
                    return answer
            except _BROKEN as error:
                lost = error
                time.sleep(_PAUSE)
            if deadline is not None and time.monotonic() >= deadline - _TICK:
                if lost is not None:
                    raise self._unavailable(lost) from lost
                raise no_answer(self._transport.config, self._request_id, self._options, timeout)

    async def arrive(self, timeout: float | None) -> bytes:
        """`wait` for asyncio: no thread, and one connection for all that an event loop awaits."""
        config = self._transport.config
        begun = time.monotonic()
        box = inbox(config.result_backend or "")
        answer = await box.take(self._key, timeout)
        if answer is not None:
            return answer
        lost = box.lost_since(begun)
        if lost is not None:
            raise self._unavailable(lost) from lost
        raise no_answer(config, self._request_id, self._options, timeout)

    def _ask(self, remaining: float | None) -> bytes | None:
        """One BLPOP for at most ``remaining`` seconds (LPOP for none); None where nothing came."""
        if remaining is not None and remaining <= _TICK:
            reply = self._command(_GRACE, "LPOP", self._key)
            found: bytes | None = reply
            return found
        seconds = _CHUNK if remaining is None else min(remaining, _CHUNK)
        reply = self._command(seconds + _GRACE, "BLPOP", self._key, f"{max(seconds, 0.01):.3f}")
        return None if reply is None else reply[1]

    def _command(self, patience: float, *command: str) -> Any:
        """Send one command and read its reply; a connection that fails is closed and not used again."""
        transport = self._transport
        connection = transport.connect(patience)
        try:
            connection.send_command(*command)
            if not connection.can_read(timeout=patience):
                raise redis.TimeoutError(f"no reply to {command[0]} within {patience:.1f} s")
            reply = connection.read_response()
        except redis.ResponseError:
            transport.connections.give(connection)
            raise
        except BaseException:
            connection.disconnect()
            raise
        transport.connections.give(connection)
        return reply

    def ready(self) -> bool:
        try:
            return bool(self._command(_GRACE, "EXISTS", self._key))
        except _BROKEN:
            return False

    def cancel(self) -> bool:
        return not self.ready() and cancel(self._transport.publisher.app, self._request_id) and not self.ready()

    def _unavailable(self, lost: Exception) -> ResultBackendUnavailable:
        config = self._transport.config
        error = ResultBackendUnavailable(
            f"The result backend of {config.alias!r} could not be reached, or was lost while request "
            f"{self._request_id} waited for its answer ({lost}). The request was sent and may have run. "
            "Is it running, and is RESULT_BACKEND right?"
        )
        error.request_id = self._request_id
        return error
