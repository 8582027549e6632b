"""Base classes of transports and replies.

A transport carries the bytes of requests to one service, and the bytes of answers back. A new transport subclasses
`Transport` and `Reply`, and is named in `registry`. All members have defaults, except those that each transport needs.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django_rpc.errors import NoWorker, RpcTimeout
from django_rpc.transport.threads import WAITING

__all__ = ["Answered", "Options", "Reply", "Transport", "Waiting"]

#: Seconds that a call without asyncio support waits in a shared thread, before the thread serves another call.
_TURN = 0.2


@dataclass(frozen=True, slots=True)
class Options:
    """Options of one call: ``timeout`` in seconds (None: no limit), and if it uses the priority queue."""

    timeout: float | None = None
    priority: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """Ids of the requests that a message waits for, because their services forward values to it.

    ``failures`` maps reply lists to functions that make an error. They are the lists of these requests, and of requests
    that these wait for, where only a failure arrives.
    """

    origins: tuple[str, ...]
    failures: Mapping[str, Callable[[bytes], Exception]]


class Reply(ABC):
    """Reply to one request."""

    @abstractmethod
    def wait(self, timeout: float | None) -> bytes:
        """Return the answer. A timeout of 0 checks once without waiting.

        Raise RpcTimeout, ResultBackendUnavailable or WorkerLost; after RpcTimeout a caller may wait again.
        """

    @abstractmethod
    def ready(self) -> bool:
        """Return True if `wait` would return at once."""

    @abstractmethod
    def cancel(self) -> bool:
        """Keep workers from beginning the request. Return False if a worker has begun it, or if no worker answered."""

    async def arrive(self, timeout: float | None) -> bytes:
        """Wait without blocking the event loop. See `wait`.

        By default the call waits in threads that all such calls share: each for a short time, then the next.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            remaining = _TURN if deadline is None else max(deadline - time.monotonic(), 0.0)
            try:
                return await WAITING.run(self.wait, min(remaining, _TURN))
            except NoWorker:
                raise
            except RpcTimeout as error:
                if deadline is not None and time.monotonic() >= deadline:
                    late = RpcTimeout(f"No answer to request {error.request_id} within {timeout:.3g} s.")
                    late.request_id = error.request_id
                    raise late from error


class Transport(ABC):
    """Transport of requests to one service, and of the answers."""

    #: True for a transport that evaluates requests in the calling process and thread.
    runs_here = False
    #: False for a transport of tests that neither signs requests nor checks the signatures of answers.
    signed = True
    #: True for a transport that can keep a message until other services have forwarded values to it (`deposit`).
    can_deposit = False

    @abstractmethod
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
        """Publish the request to the broker within the timeout; raise BrokerUnavailable.

        ``request_id`` is the id of the message. ``repeatable`` is True for a request that only reads, or that is
        executed once even if it arrives twice: it can be sent again after an unclear failure. ``token`` proves the
        author of the request. It is sent next to the request, as are ``headers``.
        """

    def deposit(
        self,
        request: bytes,
        request_id: str,
        options: Options,
        waiting: Waiting,
        token: str | None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Keep the request until all values for it have arrived; the service with the last value publishes it.

        Raise BrokerUnavailable or ResultBackendUnavailable; then nothing was sent.
        """
        raise TypeError(f"{type(self).__name__} cannot keep a message that waits for values (`can_deposit` is False).")


class Answered(Reply):
    """Reply that has arrived already."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def wait(self, timeout: float | None) -> bytes:
        return self._answer

    def ready(self) -> bool:
        return True

    def cancel(self) -> bool:
        return False
