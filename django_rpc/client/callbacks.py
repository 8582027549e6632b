"""Who looks on while plans run: a profile, a progress bar."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from django_rpc.graph.delayed.runner import ReportRequest
from django_rpc.graph.nodes import Node

if TYPE_CHECKING:
    from django_rpc.client.execute import Run

__all__ = ["Watch", "watching"]


class Watch:
    """Told what a run does, in the thread that does it.  Stages are told by their numbers."""

    def began(self, run: Run, number: int) -> None:
        """A stage is about to be sent, or to run here."""

    def within(self, number: int) -> AbstractContextManager[Any]:
        """What a stage is sent, or runs here, within: in the thread that does it."""
        return nullcontext()

    def ended(self, run: Run, number: int) -> None:
        """The values of a stage are here."""

    def closed(self, run: Run) -> None:
        """The run has ended, with its values or an error."""

    def asking(self, number: int) -> ReportRequest | None:
        """What a stage's service is asked beside the values."""
        return None

    def timer(self, number: int) -> Callable[[Node, float, Any], object] | None:
        """What is told the seconds, and the value, of each node that runs here."""
        return None


#: Those that watch all runs that begin in this context.
watching: ContextVar[tuple[Watch, ...]] = ContextVar("django_rpc_watching", default=())
