"""Count of the SQL statements of a request, and their end at its deadline.

A wrapper around Django's execution counts every statement, also those of the project's code.
"""

from __future__ import annotations

import time
from typing import Any

from django.db import DatabaseError, connections

from django_rpc.server.core.budget import Budget
from django_rpc.server.core.limits import DEFAULT, EXCEEDED, Allowance, exceeded
from django_rpc.server.query.timeouts import Timeouts, is_timeout

__all__ = ["StatementBudget"]

#: First words of Django's statements that begin and end a savepoint.
_BOUNDARIES = ("SAVEPOINT ", "RELEASE SAVEPOINT ", "ROLLBACK TO SAVEPOINT ")


class StatementBudget(Budget):
    """Budget of a request that runs SQL, and a context manager for its evaluation."""

    __slots__ = ("_timeouts", "_watched")

    def __init__(self, limits: Allowance = DEFAULT) -> None:
        super().__init__(limits)
        self._watched: list[Any] = []
        self._timeouts = Timeouts(self.deadline)

    def __enter__(self) -> StatementBudget:
        """Count statements on the databases of this thread, and make the databases stop statements at the deadline."""
        self._watched = [candidate for candidate in connections.all() if hasattr(candidate, "execute_wrappers")]
        for connection in self._watched:
            connection.execute_wrappers.append(self._execute)
        return self

    def __exit__(self, *error: object) -> None:
        for connection in self._watched:
            connection.execute_wrappers.remove(self._execute)
        self._timeouts.release()

    def _execute(self, execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if sql.startswith(_BOUNDARIES):  # the rollback of a request that exceeded a limit must not be refused
            return self._noted(execute(sql, params, many, context), sql, context)
        self.statements += 1
        if self.statements > self.limits.statements:
            self.exceed("statements")
        self.check()
        connection = context["connection"]
        self._timeouts.arm(connection)
        try:
            return self._noted(execute(sql, params, many, context), sql, context)
        except DatabaseError as error:
            broken = self.broken_by(error)
            if broken is error:
                raise
            raise broken from error

    def _noted(self, result: Any, sql: str, context: dict[str, Any]) -> Any:
        if self.written is not None:
            self.written.note(sql, context)
        return result

    def broken_by(self, error: BaseException) -> BaseException:
        """Return the error of the exceeded limit that caused ``error``; ``error`` itself if no limit was exceeded."""
        # SQLite reports the interruption when rows are read, long after the call that requested it.
        stopped = isinstance(error, DatabaseError) and (time.monotonic() >= self.deadline or is_timeout(error))
        if stopped and self.broken is None:
            self.broken = exceeded(EXCEEDED["seconds"], self.limits.seconds)
        return error if self.broken is None else self.broken
