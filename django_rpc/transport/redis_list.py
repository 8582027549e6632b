"""Answers on a Redis list for each request; the client blocks on the list.

Celery's result machinery (subscribe, read, publish, store, unsubscribe) costs more than all other parts of a call. Here
the server pushes the bytes of the answer to one list with an expiry, and the client takes them with BLPOP.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import redis

from django_rpc.errors import ResultBackendUnavailable
from django_rpc.transport.base import Options, Reply, Transport, Waiting
from django_rpc.transport.config import Config
from django_rpc.transport.publish import Publisher
from django_rpc.transport.redis_connections import BROKEN, RedisConnections
from django_rpc.transport.redis_list_async import inbox
from django_rpc.transport.reply import no_answer
from django_rpc.transport.revoke import cancel
from django_rpc.transport.worker_presence import Presences
from django_rpc.wire.forwarding import Deposit, encode_deposit
from django_rpc.wire.names import DEPOSIT, ORIGINS, answers_key, given_key, kept_seconds, reply_key, without_passwords

__all__ = ["RedisReplyTransport"]

#: Longest single BLPOP. Its empty answer proves that the server lives, while a dead server would be silent for ever.
_CHUNK = 30.0
#: Redis ends a BLPOP by itself. The client waits this much longer before it gives up the connection.
_GRACE = 0.5
#: Pause between attempts to reach a result backend that refuses connections.
_PAUSE = 0.1
#: Longest wait for a command other than BLPOP.
_SOCKET_SECONDS = 5.0
#: A request is sent without a check of the result backend where that replied in the last seconds.
_TRUSTED_SECONDS = 1.0
#: Pauses before the attempts of such a check: a Redis that restarts is away for a moment.
_REACH_PAUSES = (0.0, 0.1, 0.3, 0.6)
#: Shortest remaining time that is worth a BLPOP.
_TICK = 0.001


class RedisReplyTransport(Transport):
    """Transport of requests by Celery's broker, and of answers by Redis lists."""

    can_deposit = True

    def __init__(self, config: Config) -> None:
        self.config = config
        self.publisher = Publisher(config)
        self.connections = RedisConnections(config.result_backend or "")
        self.presences = Presences(self.publisher, self._has_answers)

    def _has_answers(self, queue: str) -> bool | None:
        """Return True where a worker of the queue writes to this Redis; None where the Redis does not reply."""
        try:
            return self.connections.run(_GRACE, ("EXISTS", answers_key(queue))) == [1]
        except BROKEN:
            return None

    def _reach(self, request_id: str, options: Options) -> None:
        """Check, before a request is sent, that its answer can be fetched.

        Raise ResultBackendUnavailable, or BrokerUnavailable if the broker is unavailable too.
        """
        timeout = options.timeout
        replied_at = self.connections.replied_at
        if replied_at is not None and time.monotonic() - replied_at < _TRUSTED_SECONDS:
            return
        deadline = None if timeout is None else time.monotonic() + timeout
        for pause in _REACH_PAUSES:
            time.sleep(pause)
            remaining = _SOCKET_SECONDS if deadline is None else deadline - time.monotonic()
            try:
                self.connections.reach(max(min(remaining, _SOCKET_SECONDS), _GRACE))
            except BROKEN as error:
                lost: Exception = error
            except redis.ResponseError as error:  # a wrong password, or a database that does not exist
                lost = error
                break
            else:
                return
            if remaining <= 0:
                break
        self.publisher.declare(request_id, Options(_SOCKET_SECONDS if timeout is None else min(timeout, 1.0)))
        raise unavailable(self.config, request_id, lost, is_sent=False) from lost

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
        key = reply_key(request_id)
        self._reach(request_id, options)
        self.publisher.publish(
            request, request_id, options, repeatable=repeatable, reply_list=key, token=token, headers=headers
        )
        return _RedisReply(self, request_id, options)

    def _park(self, key: str, deposit: bytes, origins: tuple[str, ...], seconds: int) -> bool:
        """Store a message at the key that collects its values. Return True if the client must publish the message.

        The client publishes it where all values arrived before it. Values of requests that the message does not wait
        for are removed.
        """
        fields = ("HSET", key, DEPOSIT, deposit, ORIGINS, msgspec.json.encode(origins))
        _, _, names = self.connections.run(_SOCKET_SECONDS, fields, ("EXPIRE", key, seconds), ("HKEYS", key))
        present = {name.decode("ascii", "replace") for name in names}
        foreign = present.difference(origins, (DEPOSIT, ORIGINS))
        if foreign:
            self.connections.run(_SOCKET_SECONDS, ("HDEL", key, *foreign))
        if not present.issuperset(origins):
            return False
        removed = self.connections.run(_SOCKET_SECONDS, ("HDEL", key, DEPOSIT), ("HDEL", key, ORIGINS))
        return bool(removed[0] == 1)

    def deposit(
        self,
        request: bytes,
        request_id: str,
        options: Options,
        waiting: Waiting,
        token: str | None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Store the request at the key that collects its values. See `Transport.deposit`."""
        self.publisher.declare(request_id, options)
        expires = None if options.timeout is None else time.time() + options.timeout
        deposit = encode_deposit(Deposit(request.decode(), token, expires, dict(headers or {})))
        key = given_key(request_id)
        reply = _DepositedReply(self, request_id, options, waiting.failures)
        try:
            is_complete = self._park(key, deposit, waiting.origins, kept_seconds(options.timeout))
        except BROKEN as error:
            raise unavailable(self.config, request_id, error, is_sent=False) from error
        if is_complete:  # all values arrived before it
            key = reply_key(request_id)
            self.publisher.publish(
                request, request_id, options, repeatable=False, reply_list=key, token=token, headers=headers
            )
        return reply


class _RedisReply(Reply):
    """Reply to one request.

    ``failures`` maps reply lists of other requests to the error that a failure there makes here.
    """

    def __init__(
        self,
        transport: RedisReplyTransport,
        request_id: str,
        options: Options,
        failures: Mapping[str, Callable[[bytes], Exception]] | None = None,
    ) -> None:
        self._transport = transport
        self._request_id = request_id
        self._key = reply_key(request_id)
        self._options = options
        self._failures = failures or {}
        self._keys = (self._key, *self._failures)
        self._worker_check = transport.presences.begin_check(request_id, options)

    def wait(self, timeout: float | None) -> bytes:
        deadline = None if timeout is None else time.monotonic() + timeout
        lost: Exception | None = None  # the error of a connection that broke during the wait
        while True:
            try:
                key_and_answer = self._pop(None if deadline is None else deadline - time.monotonic())
                if key_and_answer is not None:
                    return self._answer_or_failure(*key_and_answer)
            except (
                *BROKEN,
                redis.ResponseError,
            ) as error:  # a Redis that becomes a replica ends each BLPOP with an error
                lost = error
                time.sleep(_PAUSE)
            if deadline is not None and time.monotonic() >= deadline - _TICK:
                if lost is not None:
                    raise unavailable(self._transport.config, self._request_id, lost) from lost
                raise no_answer(self._transport.config, self._request_id, self._options, timeout)
            self._worker_check.look()

    async def arrive(self, timeout: float | None) -> bytes:
        """Wait without a thread, on one connection for all awaited calls of an event loop. See `wait`."""
        config = self._transport.config
        begun = time.monotonic()
        deadline = None if timeout is None else begun + timeout
        box = inbox(config.result_backend or "")
        while True:
            remaining = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            key_and_answer = await self._first(box, _least(remaining, self._worker_check.seconds()))
            if key_and_answer is not None:
                return self._answer_or_failure(*key_and_answer)
            if deadline is not None and time.monotonic() >= deadline - _TICK:
                break
            if not self._worker_check.seconds():
                await self._worker_check.look_async()
        lost = box.lost_since(begun)
        if lost is not None:
            raise unavailable(config, self._request_id, lost) from lost
        raise no_answer(config, self._request_id, self._options, timeout)

    async def _first(self, box: Any, timeout: float | None) -> tuple[str, bytes] | None:
        """Return the first answer that arrives on a list of this reply, with the key of the list."""
        if not self._failures:
            answer = await box.take(self._key, timeout)
            return None if answer is None else (self._key, answer)
        takes = {asyncio.ensure_future(box.take(key, timeout)): key for key in self._keys}
        try:
            done, _ = await asyncio.wait(takes, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for take in takes:
                take.cancel()
        return next(((takes[take], answer) for take in done if (answer := take.result()) is not None), None)

    def _answer_or_failure(self, key: str, answer: bytes) -> bytes:
        """Return an answer on the list of this request; raise the error of a failure on another list."""
        if key == self._key:
            return answer
        raise self._failures[key](answer)

    def _pop(self, remaining: float | None) -> tuple[str, bytes] | None:
        """Run one BLPOP for at most ``remaining`` seconds, or LPOP where no time remains.

        Return None without an answer.
        """
        if remaining is not None and remaining <= _TICK:
            replies = self._transport.connections.run(_GRACE, *(("LPOP", key) for key in self._keys))
            return next(
                ((key, answer) for key, answer in zip(self._keys, replies, strict=True) if answer is not None), None
            )
        seconds = min(_CHUNK if remaining is None else remaining, _CHUNK, self._worker_check.seconds())
        (reply,) = self._transport.connections.run(
            seconds + _GRACE, ("BLPOP", *self._keys, f"{max(seconds, 0.01):.3f}")
        )
        return None if reply is None else (reply[0].decode(), reply[1])

    def ready(self) -> bool:
        try:
            return self._transport.connections.run(_GRACE, ("EXISTS", *self._keys)) != [0]
        except BROKEN:
            return False

    def cancel(self) -> bool:
        return not self.ready() and cancel(self._transport.publisher.app, self._request_id) and not self.ready()


def _least(seconds: float | None, until_look: float) -> float | None:
    least = until_look if seconds is None else min(seconds, until_look)
    return None if math.isinf(least) else least


def unavailable(config: Config, request_id: str, lost: Exception, *, is_sent: bool = True) -> ResultBackendUnavailable:
    """Return the error for a Redis server of answers that cannot be reached."""
    sent = "The request was sent and may have run." if is_sent else "The request was not sent."
    error = ResultBackendUnavailable(
        f"The result backend {without_passwords(config.result_backend)} of {config.alias!r} could not be "
        f"reached, or was lost while request {request_id} waited for its answer ({lost}). {sent} "
        f"Is it running, and is RESULT_BACKEND in DATABASES[{config.alias!r}] right?"
    )
    error.request_id = request_id
    return error


class _DepositedReply(_RedisReply):
    """Reply to a request that waits for values before it is published."""

    def cancel(self) -> bool:
        """Remove the stored message; after its publication, revoke it as any other message."""
        try:
            if self._transport.connections.run(_GRACE, ("HDEL", given_key(self._request_id), DEPOSIT)) == [1]:
                return True
        except BROKEN:
            return False
        return super().cancel()
