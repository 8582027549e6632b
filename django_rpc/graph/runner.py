"""Who computes: the small protocol between a Delayed and the session of a service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from django_rpc.graph.dag import services, topological
from django_rpc.graph.describe import describe
from django_rpc.graph.errors import NoRunner, NotSupported
from django_rpc.graph.node import Node

__all__ = ["Output", "Runner", "ServiceRunner", "resolvers", "runner_for", "several_services"]


class Output(NamedTuple):
    """One value that is asked for: its node, and what makes the client's value of the server's answer."""

    node: Node
    finish: Callable[[Any], Any] | None = None

    def __rpc_node__(self) -> Node:
        return self.node


@runtime_checkable
class Runner(Protocol):
    """What computes outputs: the session of one service.

    ``service`` is the name that `Source` nodes carry (its alias in DATABASES).  ``compute`` and ``submit`` send
    ONE message for all the outputs, and return as many values or futures; both take the keywords ``timeout``
    and ``priority``, and apply each output's ``finish``.
    """

    @property
    def service(self) -> str: ...

    def compute(self, outputs: Sequence[Output], **options: Any) -> list[Any]: ...

    def submit(self, outputs: Sequence[Output], **options: Any) -> list[Any]: ...


#: Functions from a service's name to its runner, or None; asked in order.  The rooms that hold settings add theirs.
resolvers: list[Callable[[str], Runner | None]] = []


class ServiceRunner:
    """The runner of a service by its name, looked up when it is needed: what a pickled Delayed comes back with."""

    __slots__ = ("service",)

    def __init__(self, service: str) -> None:
        self.service = service

    def resolve(self) -> Runner:
        """The runner itself; raises NoRunner where nobody knows the service."""
        for resolver in resolvers:
            runner = resolver(self.service)
            if runner is not None:
                return runner
        raise NoRunner(f"No service is known by the name {self.service!r}: is it in the settings of this process?")

    def compute(self, outputs: Sequence[Output], **options: Any) -> list[Any]:
        return self.resolve().compute(outputs, **options)

    def submit(self, outputs: Sequence[Output], **options: Any) -> list[Any]:
        return self.resolve().submit(outputs, **options)

    def __repr__(self) -> str:
        return f"ServiceRunner({self.service!r})"


def runner_for(node: Node, runner: Runner | None) -> Runner:
    """``runner``, or without one the runner of the service that the nodes below ``node`` name.

    Raises NotSupported where they name several services, NoRunner where they name none.
    """
    if runner is not None:
        return runner  # its planner looks at the services
    names = sorted(services(topological([node]))[node])
    if len(names) > 1:
        raise several_services(node, names)
    if not names:
        raise NoRunner(f"{describe(node, 120)} names no service: build it from a query, or give a runner.")
    return ServiceRunner(names[0]).resolve()


def several_services(node: Node, names: Sequence[str]) -> NotSupported:
    """The error for one value that needs several services."""
    return NotSupported(
        f"{describe(node, 120)} needs the services {' and '.join(names)} in one graph, which cannot be planned yet. "
        "Compute the part of one service first, and give its value to the other."
    )
