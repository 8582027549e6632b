"""Differences that are explained, each with its reason.

An entry sees the first result that differs, with the statement of the program that it belongs to.  Later results of the
same program follow from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import zip_longest
from typing import Any, NamedTuple

__all__ = ["KNOWN", "Pair", "first_pair", "reason_of"]


class Pair(NamedTuple):
    """The first two results that differ, as texts, and the statement that has them."""

    statement: str
    local: str
    remote: str


#: A reason, and a function that returns whether it is the reason of a difference.
Known = tuple[str, Callable[[Pair], bool]]

#: Statements that Django executes in SQL of the union of several queries.
_COMBINED = re.compile(r"\.(union|intersection|difference)\(")


def _proxy(pair: Pair) -> bool:
    is_written = "OpenPlace" in pair.statement or pair.local.startswith("(None, ('OpenPlace', ")
    return is_written and pair.remote in ("raises RemotePermissionDenied", "failed")


def _ignored(pair: Pair) -> bool:
    is_ignored = "OpenPlace.objects.bulk_create(" in pair.statement and "ignore_conflicts=True" in pair.statement
    return is_ignored and pair.remote in ("raises NotSupportedError", "failed")


def _other_key(pair: Pair) -> bool:
    has_new_key = re.search(r"NaturalKey\.objects\.update_or_create\(.*defaults=dict\(code=", pair.statement)
    return bool(has_new_key) and pair.remote == "raises RemotePermissionDenied"


def _parents_in_maps(pair: Pair) -> bool:
    return "mapping(" in pair.statement and _without_parents(pair.local) == pair.remote


def _without_parents(text: str) -> str:
    return re.sub(r", 'cached \w+': \('\w+', [^)]*\)", "", text)


def _combined(pair: Pair) -> bool:
    errors = ("raises DatabaseError", "raises OperationalError")
    return pair.local in errors and bool(_COMBINED.search(pair.statement))


def _several_errors(pair: Pair) -> bool:
    return "_wrong" in pair.statement and pair.local.startswith("raises ") and pair.remote == "raises FieldError"


def _undeclared(pair: Pair) -> bool:
    is_valid = "full_clean()" in pair.statement and pair.remote.startswith("(None, ('Booking', ")
    return is_valid and pair.local == "raises ValidationError"


KNOWN: tuple[Known, ...] = (
    ("A client may not write a row that it does not see, and the manager of OpenPlace hides closed places.", _proxy),
    ("Whether an ignored row is among those that a client sees is not known, so it is refused.", _ignored),
    ("Django copies an existing row to another key, with columns that the client may not write.", _other_key),
    ("The reply to a map has the rows of a relation without the element, which is loaded when used.", _parents_in_maps),
    ("SQLite refuses arms of a union with other columns or orders; a mirror names the columns.", _combined),
    ("The mirror of Booking does not declare the constraint, so full_clean() does not check it.", _undeclared),
    ("Of several errors in one query, the wrong name is found first.", _several_errors),
)  # fmt: skip


def first_pair(program: Any, here: Any, there: Any) -> Pair:
    """Return the first results that differ; then those of the tables of a program that writes."""
    (local, remote), changed = (here, there), ""
    if program.writes:
        (local, local_tables), (remote, remote_tables) = here, there
        changed = "" if local != remote or local_tables == remote_tables else "the tables"
    noted = [line for line in program.lines if "note(" in line]
    is_block = program.lines[0].startswith("with ")
    for number, (here, there) in enumerate(zip_longest(local, remote, fillvalue="nothing")):
        if repr(here) != repr(there):
            failed = "failed" in (here, there) or number >= len(noted)
            statement = "\n".join(program.lines) if is_block and failed else noted[min(number, len(noted) - 1)]
            return Pair(statement, str(here), str(there))
    return Pair(changed, "", "")


def reason_of(program: Any, here: Any, there: Any) -> str | None:
    """Return the reason of the difference of a program, or None where it is not explained."""
    pair = first_pair(program, here, there)
    return next((reason for reason, matches in KNOWN if matches(pair)), None)
