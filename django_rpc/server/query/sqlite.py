"""Limits for the Python functions that SQLite calls: Django's functions search, repeat and pad without a limit.

Python's ``re`` can take years for one short text, and it cannot be stopped. Other databases stop a search at the
timeout of its statement, and limit the length of the results of functions.
"""

from __future__ import annotations

import functools
import sqlite3
import threading
import time
from typing import Any

from django.db import DataError, NotSupportedError, OperationalError

from django_rpc.server.query.regexes import searcher

__all__ = ["bound", "error_behind"]

#: Characters in the result of one function.
MAX_LENGTH = 10_000_000
#: Bytes of a text that SQLite's functions make (``replace``); the default limit of SQLite is 1,000,000,000.
_MAX_BYTES = 256 * 1024 * 1024
#: Attribute of a connection with (the driver's connection, the deadline of searches in a list).
_MEMORY = "_rpc_functions"
#: Text of SQLite's error for an error of a function.
_GENERAL = "user-defined function raised exception"
#: Last error of a function in this thread.
_raised = threading.local()


def bound(connection: Any, deadline: float | None) -> None:
    """Stop searches on ``connection`` at ``deadline``, by time.monotonic(); None removes the deadline."""
    raw, limit = getattr(connection, _MEMORY, (None, list[float | None]([None])))
    if raw is not connection.connection:
        if deadline is None:
            return
        raw, limit = connection.connection, list[float | None]([None])
        functions = (("regexp", 2, _searching(limit)), ("repeat", 2, _repeat), ("lpad", 3, _lpad), ("rpad", 3, _rpad))
        for name, arguments, function in functions:
            raw.create_function(name, arguments, _reporting(function), deterministic=True)
        raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_BYTES)
        setattr(connection, _MEMORY, (raw, limit))
    limit[0] = deadline
    if deadline is not None:  # before a statement; after the request, its error is still needed for the report
        _raised.error = None


def error_behind(error: BaseException) -> BaseException:
    """Return the error of a function of this module, if ``error`` is SQLite's general error for it."""
    raised = getattr(_raised, "error", None)
    is_general = isinstance(error, OperationalError) and _GENERAL in str(error)
    return raised if raised is not None and is_general else error


def _reporting(function: Any) -> Any:
    """Return ``function`` with a note of its error for `error_behind`; SQLite reports only a general error."""

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        try:
            return function(*args)
        except (DataError, NotSupportedError, ValueError) as error:
            _raised.error = error
            raise

    return call


def _searching(limit: list[float | None]) -> Any:
    def search(pattern: Any, text: Any) -> bool | None:
        if pattern is None or text is None:
            return None
        left = None if limit[0] is None else max(limit[0] - time.monotonic(), 0.001)
        return searcher(str(pattern))(str(text), left)

    return search


def _bounded(length: int) -> int:
    if length > MAX_LENGTH:
        raise ValueError(f"The text would be longer than {MAX_LENGTH:,}.")
    return length


def _repeat(text: Any, count: Any) -> str | None:
    if text is None or count is None:
        return None
    _bounded(len(text) * count)
    return text * count


def _lpad(text: Any, length: Any, fill: Any) -> str | None:
    if text is None or length is None or fill is None:
        return None
    missing = _bounded(length) - len(text)
    return text[:length] if missing <= 0 else _filled(fill, missing) + text


def _rpad(text: Any, length: Any, fill: Any) -> str | None:
    if text is None or length is None or fill is None:
        return None
    return (text + _filled(fill, _bounded(length) - len(text)))[:length]


def _filled(fill: str, missing: int) -> str:
    return (fill * (missing // max(len(fill), 1) + 1))[: max(missing, 0)]
