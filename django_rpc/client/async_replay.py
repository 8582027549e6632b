"""Execution of blocking code in an event loop without a thread: each request ends the code, and its answer restarts it.

The methods of Django's querysets block only where they request values from a service. `replayed` calls such a method.
When the method requests values, `replayed` ends the call, awaits the values, and calls the method again with them. This
is correct for code without side effects before its last request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

from django_rpc.graph.identity import key
from django_rpc.graph.nodes import Node
from django_rpc.graph.traversal import topological

__all__ = ["NeedsAnswer", "Replay", "converted", "current", "replayed"]

T = TypeVar("T")


class NeedsAnswer(BaseException):
    """End of a call that needs an answer. It is no ``Exception``, so that handlers in the called code do not catch it.

    ``fetch`` makes a coroutine that returns the values; ``request_key`` identifies the request.
    """

    def __init__(self, request_key: Any, fetch: Callable[[], Any]) -> None:
        super().__init__()
        self.request_key = request_key
        self.fetch = fetch


class Replay:
    """Answers so far, by the keys of their requests."""

    def __init__(self, answers: dict[Any, Any]) -> None:
        self._answers = answers
        self._unkeyed = 0

    def values(self, nodes: Sequence[Node], fetch: Callable[[], Any]) -> list[Any]:
        """Return the values of ``nodes``; raise the error of their answer, or NeedsAnswer where they have no answer."""
        request_key = self._key(nodes)
        if request_key not in self._answers:
            raise NeedsAnswer(request_key, fetch)
        values, error = self._answers[request_key]
        if error is not None:
            raise error
        return list(values)

    def _key(self, nodes: Sequence[Node]) -> Any:
        """Return the key of a request, which is the same in each repetition of the call."""
        if any(node.is_unique for node in topological(nodes)):
            self._unkeyed += 1  # each repetition makes new nodes, so the key is the position in the call
            return self._unkeyed
        return tuple(map(key, nodes))


#: Replay of the code that `replayed` calls now.
current: ContextVar[Replay | None] = ContextVar("django_rpc_replay", default=None)


async def replayed(call: Callable[[], T]) -> T:
    """Return the result of the blocking function ``call``; requests to services within it are awaited."""
    answers: dict[Any, Any] = {}
    while True:
        token = current.set(Replay(answers))
        try:
            return call()
        except NeedsAnswer as error:
            needed = error
        finally:
            current.reset(token)
        try:
            answers[needed.request_key] = (await needed.fetch(), None)
        except Exception as error:  # noqa: BLE001 - raised in the next call, at the request
            answers[needed.request_key] = (None, error)


async def converted(nodes: Sequence[Node], convert: Callable[[], T]) -> T:
    """Return the result of ``convert``, which converts the values of ``nodes``; its further messages are awaited.

    The conversion of a read sends messages for rows that are fetched after the answer, as for generic foreign keys.
    The conversion of a write runs once, since it may call receivers of signals.
    """
    return convert() if any(node.writes for node in topological(nodes)) else await replayed(convert)
