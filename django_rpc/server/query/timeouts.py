"""Timeouts of the databases for long statements.

PostgreSQL: ``statement_timeout``; MariaDB: ``max_statement_time``; MySQL: ``max_execution_time`` (of SELECTs); SQLite:
a progress handler, and limited searches (``sqlite.py``). A shorter timeout that the project has set for its
connections remains.

To save a round trip for each request, a timeout is set again only if the current timeout exceeds the remaining time by
more than a quarter. Between statements the budget checks the clock.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from typing import Any

from django_rpc.server.query import sqlite

__all__ = ["Timeouts", "is_timeout", "keep"]

logger = logging.getLogger("django_rpc.server")

#: Attribute of a connection: (the driver's connection, the timeout of the project, the timeout of this module).
_MEMORY = "_rpc_timeout"
#: Largest ratio of the timeout to the remaining time, and the ratio when it is set. The next request may have a little
#: more time left.
_SLACK, _MARGIN = 1.25, 1.1
#: Instructions of SQLite between two checks of the clock.
_INSTRUCTIONS = 20_000
#: PostgreSQL's query_canceled; MySQL's ER_QUERY_TIMEOUT, MariaDB's ER_STATEMENT_TIMEOUT.
_SQLSTATE, _NUMBERS = "57014", (3024, 1969)

_kept = False


def keep() -> None:
    """Keep the timeouts of connections for the next request; for a process that only answers requests."""
    global _kept
    _kept = True


def is_timeout(error: BaseException) -> bool:
    """Return True if a database stopped a statement because of its timeout."""
    cause = error.__cause__
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    number = cause.args[0] if cause is not None and cause.args else None
    return state == _SQLSTATE or (isinstance(number, int) and number in _NUMBERS)


class Timeouts:
    """Timeouts of the statements of a request; ``deadline`` is a time of time.monotonic()."""

    __slots__ = ("_armed", "_deadline")

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._armed: dict[str, Any] = {}

    def arm(self, connection: Any) -> None:
        """Prepare ``connection`` for a statement that the database stops at the deadline."""
        kind = _kind(connection)
        if kind is None:
            return
        self._armed[connection.alias] = connection
        if kind is _Sqlite:
            _Sqlite.arm(connection, self._deadline)
            return
        remaining = max(self._deadline - time.monotonic(), 0.001)
        raw, project, seconds = getattr(connection, _MEMORY, (None, 0.0, 0.0))
        if raw is not connection.connection:
            project, seconds = kind.read(connection), 0.0
        timeout = remaining * _MARGIN
        if project and project <= timeout:
            timeout = remaining = project
        if remaining <= seconds <= remaining * _SLACK:
            return
        kind.set(connection, timeout)
        # A timeout that is set in a transaction ends with it, so it is not remembered.
        local = kind is _Postgresql and connection.in_atomic_block
        setattr(connection, _MEMORY, (connection.connection, project, 0.0 if local else timeout))

    def release(self) -> None:
        """Restore the timeouts after the request, unless they are kept."""
        for connection in self._armed.values():
            kind = _kind(connection)
            if connection.connection is None or (_kept and kind is not _Sqlite):
                continue
            if connection.in_atomic_block and connection.needs_rollback:
                continue  # ends with the transaction
            try:
                kind.reset(connection)
            except Exception:  # each driver has its errors for a lost connection
                if connection.in_atomic_block:
                    logger.debug("The transaction has failed, and its timeouts end with it", exc_info=True)
                else:
                    logger.warning("The timeout of a connection could not be restored", exc_info=True)
                    connection.close()
            if hasattr(connection, _MEMORY):
                delattr(connection, _MEMORY)


class _Postgresql:
    @staticmethod
    def read(connection: Any) -> float:
        sql = "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'statement_timeout'"
        return int(_fetch(connection, sql)) / 1000

    @staticmethod
    def set(connection: Any, seconds: float) -> None:
        local = "LOCAL " if connection.in_atomic_block else ""
        _run(connection, f"SET {local}statement_timeout = {max(int(seconds * 1000), 1)}")

    @staticmethod
    def reset(connection: Any) -> None:
        local = "LOCAL " if connection.in_atomic_block else ""
        _run(connection, f"SET {local}statement_timeout TO DEFAULT")


@dataclasses.dataclass(frozen=True)
class _Variable:
    """Variable of a session: ``unit`` is its value for a second, written with ``digits`` decimals."""

    name: str
    unit: int
    digits: int

    def read(self, connection: Any) -> float:
        return float(_fetch(connection, f"SELECT @@SESSION.{self.name}")) / self.unit

    def set(self, connection: Any, seconds: float) -> None:
        smallest = 10**-self.digits  # 0 is no timeout
        self._write(connection, max(seconds * self.unit, smallest))

    def reset(self, connection: Any) -> None:
        _, project, _ = getattr(connection, _MEMORY, (None, 0.0, 0.0))
        self._write(connection, project * self.unit)

    def _write(self, connection: Any, value: float) -> None:
        _run(connection, f"SET SESSION {self.name} = {value:.{self.digits}f}")


_MARIADB = _Variable("max_statement_time", 1, 3)
_MYSQL = _Variable("max_execution_time", 1000, 0)


class _Sqlite:
    @staticmethod
    def arm(connection: Any, deadline: float) -> None:
        connection.connection.set_progress_handler(lambda: time.monotonic() >= deadline, _INSTRUCTIONS)
        sqlite.bound(connection, deadline)

    @staticmethod
    def reset(connection: Any) -> None:
        connection.connection.set_progress_handler(None, 0)
        sqlite.bound(connection, None)


def _kind(connection: Any) -> Any:
    if connection.vendor == "mysql":
        # connection.mysql_is_mariadb would run a statement, and this function is called before each statement.
        return _MARIADB if "mariadb" in connection.connection.get_server_info().lower() else _MYSQL
    return {"postgresql": _Postgresql, "sqlite": _Sqlite}.get(connection.vendor)


def _run(connection: Any, sql: str) -> None:
    """Run a statement by the driver, so that it is neither counted nor shown as a statement of the request."""
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        cursor.execute(sql)


def _fetch(connection: Any, sql: str) -> Any:
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]
