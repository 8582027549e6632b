"""Ping of a service: round trips, versions, clock, and permissions of this client."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django_rpc import errors
from django_rpc.client import execute as run
from django_rpc.graph.delayed.runner import Output
from django_rpc.graph.nodes import DescribeModels, Node, ServiceInfo, callsite
from django_rpc.graph.schema import ModelSchema, models_of
from django_rpc.wire.versions import versions

__all__ = ["Ping", "Pings", "Spread", "ping"]


@dataclass(frozen=True, slots=True)
class Spread:
    """Minimum, median and maximum of several measurements, in seconds."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Return the spread of at least one value.

        >>> Spread.of([3.0, 1.0, 2.0])
        Spread(least=1.0, median=2.0, most=3.0)
        """
        return cls(min(values), statistics.median(values), max(values))


@dataclass(frozen=True, slots=True)
class Ping:
    """Times of a message and its answer by the clocks of both ends, in seconds since the epoch."""

    sent: float
    taken: float  # the service began to work on it
    answered: float  # the service had its answer
    read: float

    @property
    def round_trip(self) -> float:
        return self.read - self.sent

    @property
    def there(self) -> float:
        """Return the part of the round trip that the service worked."""
        return self.answered - self.taken

    @property
    def ahead(self) -> float:
        """Return how far the clock of the service is ahead, if both ways took equally long, as in NTP.

        >>> Ping(sent=10.0, taken=15.5, answered=15.6, read=11.1).ahead
        5.0
        """
        return ((self.taken - self.sent) + (self.answered - self.read)) / 2

    @property
    def doubt(self) -> float:
        """Return the largest possible error of `ahead`."""
        return max(self.round_trip - self.there, 0.0) / 2


@dataclass(frozen=True, slots=True)
class Pings:
    """Results of several pings, and the service's description of itself and of this client's permissions."""

    pings: tuple[Ping, ...]
    here: Mapping[str, str]
    there: Mapping[str, str]
    service: str  # name in the settings of the service; may be empty
    client: str  # name of this client at the service
    models: Mapping[str, ModelSchema]
    functions: tuple[str, ...]
    ships: bool = False  # True if this client may ship functions

    @property
    def round_trip(self) -> Spread:
        return Spread.of([ping.round_trip for ping in self.pings])

    @property
    def worked(self) -> Spread:
        """Return the parts of the round trips that the service worked."""
        return Spread.of([ping.there for ping in self.pings])

    @property
    def best(self) -> Ping:
        """Return the ping with the most exact comparison of the clocks: that with the shortest transport."""
        return min(self.pings, key=lambda ping: ping.doubt)


def ping(session: Any, count: int = 5, *, timeout: float | None = None, priority: bool = False) -> Pings:
    """Request the description of the service of ``session``, and then ping it ``count`` times.

    The first message may open connections, so it is not among the pings. ``timeout`` applies to each message. Raise the
    error of a message, or BadResponse for an answer of another form.

    >>> ping(connections["rpc"].session).round_trip.median < 1  # seconds
    True
    """

    def compute(*nodes: Node) -> list[Any]:
        return run.compute([Output(node) for node in nodes], [session], timeout=timeout, priority=priority)

    info_node, where = ServiceInfo(session.service, where=callsite()), callsite()
    info, exposed = compute(info_node, DescribeModels(session.service, where=where))
    try:
        return Pings(
            pings=tuple([_measure(lambda: compute(info_node)[0]) for _ in range(max(count, 1))]),
            here=versions(),
            there={str(name): str(version) for name, version in info["versions"].items()},
            service=str(info["service"]),
            client=str(info["client"]),
            models=models_of(exposed),
            functions=tuple(map(str, info["functions"])),
            ships=info.get("ships") is True,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise errors.BadResponse(f"The service described itself in an unknown form: {error!r}") from error


def _measure(request_info: Callable[[], Any]) -> Ping:
    # The duration is measured with a monotonic clock, because the other clock may be set during the round trip.
    began, sent = time.perf_counter(), time.time()
    info = request_info()
    seconds = time.perf_counter() - began
    at, worked = float(info["at"]), float(info["seconds"])
    return Ping(sent, at - worked, at, sent + seconds)
