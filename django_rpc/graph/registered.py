"""Functions that a service registered by name: the kind of node that calls one there, and the user's handle on it.

The service writes ``@site.function``; a client calls it as it would call a function of its own:

>>> quote = function("quote")
>>> quote(["A-1", "B-2"], discount=5) * 2
<Delayed (quote(['A-1', 'B-2'], discount=5) * 2)>
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_rpc.graph import vocabulary
from django_rpc.graph.node import KINDS, Effect, Node, callsite
from django_rpc.graph.values import freeze

if TYPE_CHECKING:
    from django_rpc.graph.delayed import Delayed

__all__ = ["Function", "ServiceFunction", "function"]


class Function(Node, frozen=True, eq=False):
    """A call of a function that the service registered under ``name``: ``name(*args, **kwargs)``, evaluated there.

    ``reads_only`` is the client's word that it changes nothing, so that equal calls are made once and no transaction
    is opened; the service refuses it for a function that it did not register so.
    """

    service: str
    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    reads_only: bool = False

    def __post_init__(self) -> None:
        vocabulary.check_identifier(self.name)

    @property
    def effect(self) -> Effect:  # type: ignore[override]
        return Effect.READ if self.reads_only else Effect.WRITE


KINDS["function"] = Function


class ServiceFunction:
    """A function of a service by its name; its calls are written down, and done by the service."""

    __slots__ = ("name", "reads_only", "service")

    def __init__(self, name: str, service: str, reads_only: bool = False) -> None:
        vocabulary.check_identifier(name)
        self.name = name
        self.service = service
        self.reads_only = reads_only

    def __call__(self, *args: Any, **kwargs: Any) -> Delayed:
        """The Delayed of a call.

        Delayed, querysets and futures may stand among the arguments: the service gets them as querysets, instances
        and values.  Raises TypeError for an argument that cannot be sent.
        """
        from django_rpc.graph.delayed import Delayed
        from django_rpc.graph.runner import ServiceRunner, joined

        given = tuple([freeze(value) for value in args])
        named = {name: freeze(value) for name, value in kwargs.items()}
        runners = [value.runner for value in (*args, *kwargs.values()) if isinstance(value, Delayed)]
        node = Function(self.service, self.name, given, named, self.reads_only, where=callsite())
        # A runner that an argument brought is better than a name: it is there.
        return Delayed(node, joined(joined(None, runners), (ServiceRunner(self.service),)))

    def __repr__(self) -> str:
        return f"<function {self.name} of {self.service!r}>"


def function(name: str, using: str = "rpc", *, reads_only: bool = False) -> ServiceFunction:
    """The function that the service ``using`` (its alias in DATABASES) registered as ``name``.

    >>> function("quote", using="warehouse")
    <function quote of 'warehouse'>

    A call may write, so it keeps its place among the writes and runs in their transaction.  ``reads_only=True`` says
    that it does not, for a function that the service registered so: then equal calls are made once.
    Raises ValueError for a name that no function can have.  Whether the service has it shows when it is called.
    """
    return ServiceFunction(name, using, reads_only)
