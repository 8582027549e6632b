"""Who computes: the small protocols between a Delayed, what runs its plan, and the session of a service."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

from django_rpc.graph.errors import NoRunner
from django_rpc.graph.nodes import Node
from django_rpc.graph.plan.stages import Stage

__all__ = [
    "Asking",
    "Engine",
    "Output",
    "Runner",
    "Runners",
    "ServiceRunner",
    "engine",
    "joined",
    "profiler",
    "resolve",
    "resolvers",
]


class Output(NamedTuple):
    """One value that is asked for: its node, and what makes the client's value of the server's answer."""

    node: Node
    finish: Callable[[Any], Any] | None = None

    def __rpc_node__(self) -> Node:
        return self.node


class Asking(NamedTuple):
    """What a message asks for beside its values, by the wire's word for it, and who is told the answer."""

    what: Any
    told: Callable[[Any], object]


@runtime_checkable
class Runner(Protocol):
    """What sends a stage to one service: its session.

    ``service`` is the name that `ModelSource` nodes carry (its alias in DATABASES); ``timeout`` is what its settings
    allow a message, in seconds (None: no limit).  ``send`` sends ONE message and returns what waits for its answer
    (``wait(timeout)``, ``await arrive(timeout)``: the values of the stage's outputs; ``done()``, ``cancel()``).
    A profile sends with the keyword ``asking``, and so does ``explain()`` where there is a true ``can_explain``.
    """

    @property
    def service(self) -> str: ...

    @property
    def timeout(self) -> float | None: ...

    def send(self, stage: Stage, *, timeout: float | None = None, priority: bool = False) -> Any: ...


class Engine(Protocol):
    """What runs plans: ``django_rpc.client.execute``.

    Each takes outputs and the runners that are known for their services, the others are looked up by name, and
    returns a value or a future for each output.
    """

    def compute(self, outputs: Sequence[Output], runners: Iterable[Runner], **options: Any) -> list[Any]: ...

    def submit(self, outputs: Sequence[Output], runners: Iterable[Runner], **options: Any) -> list[Any]: ...

    def acompute(
        self, outputs: Sequence[Output], runners: Iterable[Runner], **options: Any
    ) -> Awaitable[list[Any]]: ...


#: Where the engine is, by name: this room does not import the client's.
_ENGINE = "django_rpc.client.execute"


def engine() -> Engine:
    """What runs plans."""
    return cast(Engine, importlib.import_module(_ENGINE))


def profiler() -> Any:
    """What profiles: ``django_rpc.client.profile``."""
    return importlib.import_module("django_rpc.client.profile")


#: Functions from a service's name to its runner, or None; asked in order.  The rooms that hold settings add theirs.
resolvers: list[Callable[[str], Runner | None]] = []


def resolve(service: str) -> Runner:
    """The runner of a service by its name; raises NoRunner where nobody knows it."""
    for resolver in resolvers:
        runner = resolver(service)
        if runner is not None:
            return runner
    raise NoRunner(f"No service is known by the name {service!r}: is it in the settings of this process?")


class ServiceRunner:
    """The runner of a service by its name, looked up when it is needed: what a pickled Delayed comes back with."""

    __slots__ = ("service",)

    def __init__(self, service: str) -> None:
        self.service = service

    @property
    def timeout(self) -> float | None:
        return resolve(self.service).timeout

    @property
    def can_explain(self) -> bool:
        return bool(getattr(resolve(self.service), "can_explain", False))

    def send(self, stage: Stage, *, timeout: float | None = None, priority: bool = False, **asking: Any) -> Any:
        return resolve(self.service).send(stage, timeout=timeout, priority=priority, **asking)

    def __repr__(self) -> str:
        return f"ServiceRunner({self.service!r})"


class Runners(tuple[Runner, ...]):
    """The runners of several services, where a graph needs more than one."""

    __slots__ = ()


def joined(runner: Any, others: Iterable[Any]) -> Any:
    """The runner, or `Runners`, of a graph that is made from graphs with these; the first of a service wins.

    >>> joined(None, [ServiceRunner("a"), None, ServiceRunner("b"), ServiceRunner("a")])
    (ServiceRunner('a'), ServiceRunner('b'))
    """
    found: dict[str, Runner] = {}
    for one in (runner, *others):
        for member in members(one):
            found.setdefault(member.service, member)
    if len(found) <= 1:
        return next(iter(found.values()), None)
    return runner if isinstance(runner, Runners) and len(runner) == len(found) else Runners(found.values())


def members(runner: Any) -> Iterator[Runner]:
    """The single runners of ``runner``, which may be None, one, or `Runners`."""
    if isinstance(runner, Runners):
        yield from runner
    elif runner is not None:
        yield runner
