"""Runs blocking code in an event loop, without a thread: up to its question, and again when the answer is here.

Django's querysets are blocking code, and long; what they ask a service for is all that blocks in them.  So
`answered` calls them, and where they ask, ends the call, awaits the answer, and calls them again, from then on with
the answer at hand.  That is right for code that has no effect before its last question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

from django_rpc.graph.identity import is_one_of_a_kind, key
from django_rpc.graph.nodes.base import Node
from django_rpc.graph.traversal import topological

__all__ = ["Replay", "Unanswered", "answered", "current"]

T = TypeVar("T")


class Unanswered(BaseException):
    """Ends a call whose question has no answer yet; no handler of ``Exception`` may take it for its own."""

    def __init__(self, question: Any, ask: Callable[[], Any]) -> None:
        super().__init__()
        self.question = question
        self.ask = ask


class Replay:
    """The answers so far, by what was asked."""

    def __init__(self, answers: dict[Any, Any]) -> None:
        self._answers = answers
        self._others = 0

    def values(self, nodes: Sequence[Node], ask: Callable[[], Any]) -> list[Any]:
        """The values of ``nodes``.  Raises the error that was the answer, or Unanswered, which says how to ask."""
        question = self._name(nodes)
        if question not in self._answers:
            raise Unanswered(question, ask)
        values, error = self._answers[question]
        if error is not None:
            raise error
        found: list[Any] = values
        return found

    def _name(self, nodes: Iterable[Node]) -> Any:
        """What tells a question from the others of one call, each time that this is called."""
        asked = tuple(nodes)
        if any(is_one_of_a_kind(node) for node in topological(asked)):
            self._others += 1  # built anew each time, so known by its place in the order
            return self._others
        return tuple(map(key, asked))


#: That of the code which is being called now, if it is called by `answered`.
current: ContextVar[Replay | None] = ContextVar("django_rpc_replay", default=None)


async def answered(call: Callable[[], T]) -> T:
    """What the blocking function ``call`` returns or raises; what it asks of services is awaited."""
    answers: dict[Any, Any] = {}
    while True:
        token = current.set(Replay(answers))
        try:
            return call()
        except Unanswered as unanswered:
            asked = unanswered
        finally:
            current.reset(token)
        try:
            answers[asked.question] = (await asked.ask(), None)
        except Exception as error:  # noqa: BLE001 - raised where it was asked
            answers[asked.question] = (None, error)
