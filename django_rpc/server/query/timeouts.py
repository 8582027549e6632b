"""Lets the databases themselves stop a statement that takes too long.

PostgreSQL: ``statement_timeout``; MariaDB: ``max_statement_time``; MySQL: ``max_execution_time`` (of SELECTs); SQLite:
a progress handler, and searches that end (``sqlite.py``).  A time that the project has set for its connections stays
where it is the shorter one.

A round trip for each request would be dear: a time is set again only where what is set would let a statement run for
more than a quarter of the rest too long.  Between statements the budget looks at the clock.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from typing import Any

from django_rpc.server.query import sqlite

__all__ = ["Timeouts", "is_timeout", "keep"]

logger = logging.getLogger("django_rpc.server")

#: Where a connection remembers what is set on it: (the driver's connection, the project's own seconds, ours).
_MEMORY = "_rpc_timeout"
#: How much longer than the rest of the time a statement may run, at most and when it is set: the next request has
#: a little more left than this one.
_SLACK, _MARGIN = 1.25, 1.1
#: Instructions of SQLite's machine between two looks at the clock.
_INSTRUCTIONS = 20_000
#: PostgreSQL's query_canceled; MySQL's ER_QUERY_TIMEOUT, MariaDB's ER_STATEMENT_TIMEOUT.
_SQLSTATE, _NUMBERS = "57014", (3024, 1969)

_kept = False


def keep() -> None:
    """Leave what is set on a connection for the next request: this process does nothing but answer requests."""
    global _kept
    _kept = True


def is_timeout(error: BaseException) -> bool:
    """Whether a database stopped a statement for its time."""
    cause = error.__cause__
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    number = cause.args[0] if cause is not None and cause.args else None
    return state == _SQLSTATE or (isinstance(number, int) and number in _NUMBERS)


class Timeouts:
    """The times set for one request; ``deadline`` by time.monotonic()."""

    __slots__ = ("_armed", "_deadline")

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._armed: dict[str, Any] = {}

    def arm(self, connection: Any) -> None:
        """Before a statement on ``connection``: have it stopped at the deadline."""
        kind = _kind(connection)
        if kind is None:
            return
        self._armed[connection.alias] = connection
        if kind is _Sqlite:
            _Sqlite.arm(connection, self._deadline)
            return
        remaining = max(self._deadline - time.monotonic(), 0.001)
        raw, own, seconds = getattr(connection, _MEMORY, (None, 0.0, 0.0))
        if raw is not connection.connection:
            own, seconds = kind.read(connection), 0.0
        wanted = remaining * _MARGIN
        if own and own <= wanted:
            wanted = remaining = own
        if remaining <= seconds <= remaining * _SLACK:
            return
        kind.set(connection, wanted)
        # What is set within a transaction is gone with it, so it is not remembered beyond.
        local = kind is _Postgresql and connection.in_atomic_block
        setattr(connection, _MEMORY, (connection.connection, own, 0.0 if local else wanted))

    def release(self) -> None:
        """After the request: as it was, unless it may be kept."""
        for connection in self._armed.values():
            kind = _kind(connection)
            if connection.connection is None or (_kept and kind is not _Sqlite):
                continue
            if connection.in_atomic_block and connection.needs_rollback:
                continue  # goes with the transaction
            try:
                kind.reset(connection)
            except Exception:  # whatever a driver raises on a connection that is gone
                if connection.in_atomic_block:
                    logger.debug("The transaction has failed, and takes what is set with it", exc_info=True)
                else:
                    logger.warning("The time-out of a connection could not be taken back", exc_info=True)
                    connection.close()
            if hasattr(connection, _MEMORY):
                delattr(connection, _MEMORY)


class _Postgresql:
    @staticmethod
    def read(connection: Any) -> float:
        sql = "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'statement_timeout'"
        return int(_ask(connection, sql)) / 1000

    @staticmethod
    def set(connection: Any, seconds: float) -> None:
        local = "LOCAL " if connection.in_atomic_block else ""
        _tell(connection, f"SET {local}statement_timeout = {max(int(seconds * 1000), 1)}")

    @staticmethod
    def reset(connection: Any) -> None:
        local = "LOCAL " if connection.in_atomic_block else ""
        _tell(connection, f"SET {local}statement_timeout TO DEFAULT")


@dataclasses.dataclass(frozen=True)
class _Variable:
    """A variable of a session, which counts ``unit`` for a second and is written with so many ``digits``."""

    name: str
    unit: int
    digits: int

    def read(self, connection: Any) -> float:
        return float(_ask(connection, f"SELECT @@SESSION.{self.name}")) / self.unit

    def set(self, connection: Any, seconds: float) -> None:
        smallest = 10**-self.digits  # 0 is no time-out at all
        self._write(connection, max(seconds * self.unit, smallest))

    def reset(self, connection: Any) -> None:
        _, own, _ = getattr(connection, _MEMORY, (None, 0.0, 0.0))
        self._write(connection, own * self.unit)

    def _write(self, connection: Any, value: float) -> None:
        _tell(connection, f"SET SESSION {self.name} = {value:.{self.digits}f}")


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
        # Not connection.mysql_is_mariadb: that runs a statement, before which we are asked again.
        return _MARIADB if "mariadb" in connection.connection.get_server_info().lower() else _MYSQL
    return {"postgresql": _Postgresql, "sqlite": _Sqlite}.get(connection.vendor)


def _tell(connection: Any, sql: str) -> None:
    """By the driver itself: it is no statement of the request, and is neither counted nor shown."""
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        cursor.execute(sql)


def _ask(connection: Any, sql: str) -> Any:
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]
