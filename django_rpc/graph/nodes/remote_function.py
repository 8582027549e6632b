"""Functions that a service registered by name: the kind of node that calls them, and the user's handle.

The service declares ``@site.function``, and a client calls it like a local function:

>>> quote = function("quote")
>>> quote(["A-1", "B-2"], discount=5) * 2
<Delayed (quote(['A-1', 'B-2'], discount=5) * 2)>
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from django_rpc.graph.nodes.base import Effect, Service, ServiceNode
from django_rpc.graph.nodes.callsite import callsite
from django_rpc.graph.vocabulary import names as vocabulary

if TYPE_CHECKING:
    from django_rpc.graph.delayed.delayed import Delayed
    from django_rpc.graph.format import Writer

__all__ = ["CalledThere", "Function", "ServiceCall", "ServiceFunction", "function"]


class ServiceCall(ServiceNode, frozen=True, eq=False):
    """A call of a Python function at a service: ``name(*args, **kwargs)``; base of the kinds that define the function.

    With ``reads_only``, the client declares that the call changes nothing. Then equal calls run once, and no
    transaction is opened.
    """

    is_abstract = True
    operation = "call"
    runs_service_code = True

    service: Service
    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    reads_only: bool = False

    def __post_init__(self) -> None:
        vocabulary.check_identifier(self.name)

    @property
    def effect(self) -> Effect:  # type: ignore[override]  # declared by the call
        return Effect.READ if self.reads_only else Effect.WRITE

    @property
    def step_name(self) -> str:
        return f"{self.name}()"

    def check_received(self) -> None:
        for keyword in self.kwargs:
            vocabulary.check_path(keyword)

    def text(self, write: Writer) -> str:
        return f"{self.name}({write.arguments(self.args, self.kwargs)})"


class Function(ServiceCall, frozen=True, eq=False):
    """A call of a function that the service registered under ``name``.

    The service refuses ``reads_only`` for a function that it did not register as read-only.
    """

    tag = "function"


class CalledThere(ABC):
    """The user's handle on a function that a service calls; it records calls."""

    __slots__ = ("reads_only", "service")

    def __init__(self, service: str, reads_only: bool) -> None:
        self.service = service
        self.reads_only = reads_only

    @abstractmethod
    def _record(self, args: tuple[Any, ...], kwargs: dict[str, Any], where: tuple[str, int]) -> ServiceCall:
        """Return the node of a call with these arguments."""

    def __call__(self, *args: Any, **kwargs: Any) -> Delayed:
        """Return the Delayed of a call.

        The arguments may contain Delayed, querysets and futures: the service receives them as querysets, instances and
        values. Raises TypeError for an argument that cannot be sent.
        """
        from django_rpc.graph.delayed.delayed import Delayed, frozen

        frozen_args, named = frozen(args, kwargs)
        return Delayed(self._record(frozen_args, named, callsite()))


class ServiceFunction(CalledThere):
    """A function of a service by its name; its calls are recorded and then run by the service."""

    __slots__ = ("name",)

    def __init__(self, name: str, service: str, reads_only: bool = False) -> None:
        super().__init__(service, reads_only)
        vocabulary.check_identifier(name)
        self.name = name

    def _record(self, args: tuple[Any, ...], kwargs: dict[str, Any], where: tuple[str, int]) -> Function:
        return Function(self.service, self.name, args, kwargs, self.reads_only, where=where)

    def __repr__(self) -> str:
        return f"<function {self.name} of {self.service!r}>"


def function(name: str, using: str = "rpc", *, reads_only: bool = False) -> ServiceFunction:
    """Return the function that the service ``using`` (its alias in DATABASES) registered as ``name``.

    >>> function("quote", using="warehouse")
    <function quote of 'warehouse'>

    A call may write, so it keeps its place among the writes and runs in their transaction. ``reads_only=True`` declares
    that it does not write, for a function that the service registered as read-only. Then equal calls run once. Raises
    ValueError for an invalid function name. A function that the service does not have fails only when it is called.
    """
    return ServiceFunction(name, using, reads_only)
