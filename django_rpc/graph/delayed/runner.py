"""The protocols between a Delayed, the engine that runs its plan, and the session of a service."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

from django_rpc.graph.errors import NoRunner
from django_rpc.graph.nodes import Node
from django_rpc.graph.plan.stages import Stage

__all__ = [
    "Engine",
    "Output",
    "ReportRequest",
    "Runner",
    "engine",
    "profiler",
    "resolve",
    "resolvers",
]


class Output(NamedTuple):
    """A value to compute: its node, and the function that makes the value of the client from the answer."""

    node: Node
    finish: Callable[[Any], Any] | None = None

    def __rpc_node__(self) -> Node:
        return self.node


class ReportRequest(NamedTuple):
    """A report that a message requests in addition to its values, and the function that receives the response.

    ``kind`` is the text on the wire: "profile" or "explain".
    """

    kind: Any
    receive: Callable[[Any], object]


@runtime_checkable
class Runner(Protocol):
    """A session, which sends stages to one service.

    ``service`` is its name in `ModelSource` nodes, and its alias in DATABASES. ``timeout`` is the limit of a message in
    seconds; None means no limit. ``send`` sends a single message and returns a call with ``wait(timeout)`` and
    ``await arrive(timeout)``, which return the values of the outputs, and with ``done()`` and ``cancel()``. A profile
    uses the keyword ``asking``, and so does ``explain()`` if ``can_explain`` is True. The members below have defaults.
    """

    #: Hooks of all plans and messages for the service (`django_rpc.client.hooks`).
    hooks: Sequence[Any] = ()
    #: Conversion of values and errors for the caller; None for values without conversion.
    results: Any = None
    #: True if ``send`` accepts ``asking``, and the service explains a stage.
    can_explain: bool = False

    @property
    def runs_here(self) -> bool:
        """Return True if ``send`` evaluates the stage in the calling thread."""
        return False

    def locale(self) -> Any:
        """Return the caller's locale, for the keyword ``locale`` of ``send``; None if ``send`` has no such keyword."""
        return None

    def why_not_to(self, other: Any) -> str | None:
        """Return the reason why the service forwards no values to ``other``, "" if it does, None if it is unknown."""
        return None

    @property
    def service(self) -> str: ...

    @property
    def timeout(self) -> float | None: ...

    def send(self, stage: Stage, *, timeout: float | None = None, priority: bool = False) -> Any: ...


class Engine(Protocol):
    """The engine that runs plans: ``django_rpc.client.execute``.

    Each method takes outputs and the runners of their services, and returns a value or a future for each output.
    Missing runners are looked up by name.
    """

    def compute(self, outputs: Sequence[Output], runners: Iterable[Runner] = (), **options: Any) -> list[Any]: ...

    def submit(self, outputs: Sequence[Output], runners: Iterable[Runner] = (), **options: Any) -> list[Any]: ...

    def acompute(
        self, outputs: Sequence[Output], runners: Iterable[Runner] = (), **options: Any
    ) -> Awaitable[list[Any]]: ...


#: The module of the engine, by name, because this package does not import the client.
_ENGINE = "django_rpc.client.execute"


def engine() -> Engine:
    """Return the engine that runs plans."""
    return cast(Engine, importlib.import_module(_ENGINE))


def profiler() -> Any:
    """Return the module of profiles: ``django_rpc.client.profile``."""
    return importlib.import_module("django_rpc.client.profile")


#: Functions from the name of a service to its runner or None, in their order. Packages with settings add functions.
resolvers: list[Callable[[str], Runner | None]] = []


def resolve(service: str) -> Runner:
    """Return the runner of a service by its name; raise NoRunner for an unknown service."""
    for resolver in resolvers:
        runner = resolver(service)
        if runner is not None:
            return runner
    raise NoRunner(f"No service has the name {service!r}: is it in the settings of this process?")
