"""How far a service is: round trips, its versions, its clock, and what this client may do there."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django_rpc import errors
from django_rpc.client import execute as run
from django_rpc.graph.delayed.runner import Output
from django_rpc.graph.nodes.base import DescribeModels, Node, ServiceInfo, callsite
from django_rpc.graph.schema import ModelSchema, models_of
from django_rpc.wire.versions import versions

__all__ = ["Ping", "Pings", "Spread", "ping"]


@dataclass(frozen=True, slots=True)
class Spread:
    """Of several measurements, in seconds."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Of one value or more.

        >>> Spread.of([3.0, 1.0, 2.0])
        Spread(least=1.0, median=2.0, most=3.0)
        """
        return cls(min(values), statistics.median(values), max(values))


@dataclass(frozen=True, slots=True)
class Ping:
    """One message and its answer: four moments, by the clocks of both ends (seconds since the epoch)."""

    sent: float
    taken: float  # the service began to work on it
    answered: float  # the service had its answer
    read: float

    @property
    def round_trip(self) -> float:
        return self.read - self.sent

    @property
    def there(self) -> float:
        """Of the round trip, what the service worked."""
        return self.answered - self.taken

    @property
    def ahead(self) -> float:
        """How far the clock there is ahead of the one here, if both ways took equally long, as NTP reckons.

        >>> Ping(sent=10.0, taken=15.5, answered=15.6, read=11.1).ahead
        5.0
        """
        return ((self.taken - self.sent) + (self.answered - self.read)) / 2

    @property
    def doubt(self) -> float:
        """By how much `ahead` may be wrong, if one way took all the time."""
        return max(self.round_trip - self.there, 0.0) / 2


@dataclass(frozen=True, slots=True)
class Pings:
    """What came of some pings, and what the service told of itself and of this client's permissions."""

    pings: tuple[Ping, ...]
    here: Mapping[str, str]
    there: Mapping[str, str]
    service: str  # as it calls itself; empty where it has no name
    client: str  # as it knows this client
    models: Mapping[str, ModelSchema]
    functions: tuple[str, ...]
    ships: bool = False  # whether this client may ship functions of its own

    @property
    def round_trip(self) -> Spread:
        return Spread.of([one.round_trip for one in self.pings])

    @property
    def worked(self) -> Spread:
        """What the service worked, of the round trips."""
        return Spread.of([one.there for one in self.pings])

    @property
    def best(self) -> Ping:
        """The one that tells most of the clocks: the least time was spent on the way."""
        return min(self.pings, key=lambda one: one.doubt)


def ping(session: Any, count: int = 5, *, timeout: float | None = None, priority: bool = False) -> Pings:
    """Ask the service of ``session`` once who it is, and then ping it ``count`` times.

    The first message, which may have to open connections, is not among the pings.  ``timeout`` is of each message.
    Raises what a message raises, and BadResponse where the answer is not one to this question.

    >>> ping(connections["rpc"].session).round_trip.median < 1  # seconds
    True
    """

    def ask(*nodes: Node) -> list[Any]:
        return run.compute([Output(node) for node in nodes], [session], timeout=timeout, priority=priority)

    about, where = ServiceInfo(session.service, where=callsite()), callsite()
    told, exposed = ask(about, DescribeModels(session.service, where=where))
    try:
        return Pings(
            pings=tuple([_one(lambda: ask(about)[0]) for _ in range(max(count, 1))]),
            here=versions(),
            there={str(name): str(version) for name, version in told["versions"].items()},
            service=str(told["service"]),
            client=str(told["client"]),
            models=models_of(exposed),
            functions=tuple(map(str, told["functions"])),
            ships=told.get("ships") is True,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise errors.BadResponse(f"The service told something else of itself than was asked: {error!r}") from error


def _one(ask: Any) -> Ping:
    # One clock, so that a jump of the other between two readings is no part of a round trip.
    began, sent = time.perf_counter(), time.time()
    told = ask()
    seconds = time.perf_counter() - began
    at, worked = float(told["at"]), float(told["seconds"])
    return Ping(sent, at - worked, at, sent + seconds)
