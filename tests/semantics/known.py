"""Differences that are explained, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

__all__ = ["KNOWN", "known_difference"]

#: A reason, and a test of the text of the program and the texts of its results (local, remote).
Known = tuple[str, Callable[[str, str, str], bool]]


def _proxy(program: str, local: str, remote: str) -> bool:
    return "OpenPlace" in program and bool(re.search("PermissionDenied|NotSupported|'failed'", remote))


def _other_key(program: str, local: str, remote: str) -> bool:
    changes_key = re.search(r"NaturalKey\.objects\.update_or_create\(.*defaults=dict\(code=", program)
    return bool(changes_key) and _errors(local, remote) == (set(), {"RemotePermissionDenied"})


def _errors(local: str, remote: str) -> tuple[set[str], set[str]]:
    """Return the names of the errors that only one side raises."""
    here, there = (set(re.findall(r"raises ([\w.]+)", text)) for text in (local, remote))
    return here - there, there - here


def _parents_in_maps(program: str, local: str, remote: str) -> bool:
    return "mapping(" in program and "'cached " in local and _uncached(local) == _uncached(remote)


def _uncached(text: str) -> str:
    return re.sub(r", 'cached \w+': (None|\('\w+', [^)]*\))", "", text)


def _combined(program: str, local: str, remote: str) -> bool:
    failed = re.search(r"raises (DatabaseError|OperationalError)", local)
    return bool(failed and re.search(r"\.(union|intersection|difference)\(", program))


def _several_errors(program: str, local: str, remote: str) -> bool:
    return "_wrong" in program and "raises " in local and "FieldError" in remote


def _undeclared(program: str, local: str, remote: str) -> bool:
    return "Booking" in program and "full_clean" in program and "ValidationError" in local


KNOWN: tuple[Known, ...] = (
    ("Writes of a client have to leave rows among those that it sees; the manager of a proxy hides rows.", _proxy),
    ("Django copies an existing row to another key, with columns that the client may not write.", _other_key),
    ("Rows that a map returns do not cache the element that they belong to.", _parents_in_maps),
    ("SQLite refuses arms of a union with other columns or orders; a mirror names the columns.", _combined),
    ("The mirror of Booking does not declare the constraint, so full_clean() does not check it.", _undeclared),
    ("Of several errors in one query, the wrong name is found first.", _several_errors),
)  # fmt: skip


def known_difference(program: Any, here: Any, there: Any) -> bool:
    """Return whether the difference of a program is explained."""
    texts = "\n".join(program.lines), repr(here), repr(there)
    return any(matches(*texts) for _, matches in KNOWN)
