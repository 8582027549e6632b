"""Cursor of a service, ``connections["rpc"].cursor()``. It runs batches of calls instead of SQL."""

from __future__ import annotations

from typing import Any

from django.db.utils import NotSupportedError

from django_rpc.client.futures import Future
from django_rpc.graph.delayed.delayed import Delayed, Output

__all__ = ["RpcCursor"]


class RpcCursor:
    """Cursor that gathers results instead of executing SQL.

    >>> count, tags = connections["rpc"].cursor().gather(Order.objects.future().count(), Tag.objects.all())
    >>> count, len(tags)
    (80, 8)
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def gather(self, *calls: Any, timeout: float | None = None, priority: bool = False) -> list[Any]:
        """Return the results of ``calls``, in their order.

        A call is a future that was already sent, a queryset, or a `Delayed`. All calls that were not sent yet are sent
        as ONE message. ``timeout`` is in seconds. Raise the error of the first call that failed.
        """
        session = self.connection.session
        items = [call if isinstance(call, Future) else _output(call) for call in calls]
        return list(session.gather(items, session.options(timeout, priority)))

    def execute(self, sql: str, params: Any = None) -> None:
        raise NotSupportedError(
            "SQL cannot be sent to a service. Use the mirror's queryset, or a method that the service registered "
            "(Model.objects.call('name', ...))."
        )

    executemany = execute
    callproc = execute

    def fetchone(self) -> None:
        return None

    def fetchmany(self, size: int | None = None) -> list[Any]:
        return []

    def fetchall(self) -> list[Any]:
        return []

    def close(self) -> None:
        return None

    def __enter__(self) -> RpcCursor:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _output(call: Any) -> Output:
    if isinstance(call, Delayed):
        return call.__rpc_output__()
    output = getattr(call, "rpc_output", None)
    if output is None:
        raise TypeError(
            f"gather() takes futures, querysets of mirror models and Delayed, not {type(call).__name__}: {call!r}"
        )
    result: Output = output()
    return result
