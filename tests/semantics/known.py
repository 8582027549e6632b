"""Differences that are explained, each with its reason.

An entry sees the first result that differs, with the statement of the program that it belongs to.  Later results of the
same program follow from it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from itertools import zip_longest
from typing import Any, NamedTuple

__all__ = ["KNOWN", "Failure", "Pair", "first_pair", "reason_of"]


class Failure(str):
    """The name of the class of an error.  The message is not compared, since both sides may word it differently."""

    message: str

    @classmethod
    def of(cls, error: Exception, name: str | None = None) -> Failure:
        """Return the name of an error, or of its consequence."""
        failure = cls(name or f"raises {type(error).__qualname__}")
        # Other arguments may be instances, such as the protected rows, and their texts may load rows.
        failure.message = next((argument for argument in error.args if isinstance(argument, str)), "")
        return failure


class Pair(NamedTuple):
    """The first two results that differ, and the statement that has them."""

    statement: str
    local: Any
    remote: Any

    def fails(self, local: str | None, remote: str | None) -> bool:
        """Return True if the errors of both sides have messages with these patterns; None means no error."""
        return _has_message(self.local, local) and _has_message(self.remote, remote)


def _has_message(result: Any, pattern: str | None) -> bool:
    if pattern is None:
        return not isinstance(result, Failure)
    return isinstance(result, Failure) and re.search(pattern, result.message) is not None


#: A reason, and a function that returns whether it is the reason of a difference.
Known = tuple[str, Callable[[Pair], bool]]

_NO_VALUE = "Cannot use None as a query value"
_WRONG_NAME = "_wrong(__.*)?' (into field|for )"
_JOINED = "^Joined field references are not permitted"


def _proxy(pair: Pair) -> bool:
    is_saved_again = "('OpenPlace', " in repr(pair.local) and "save()" in pair.statement
    return pair.fails(None, r"^This client may not write a zoo\.OpenPlace that it could not read\.") or (
        is_saved_again and pair.fails(None, "the unique constraint of 'id' does not hold")
    )


def _ignored(pair: Pair) -> bool:
    return pair.fails(None, r"^zoo\.OpenPlace: no ignore_conflicts where a client sees some rows only\.")


def _other_key(pair: Pair) -> bool:
    return "update_or_create(" in pair.statement and pair.fails(
        None, r"^The key of a zoo\.NaturalKey cannot be changed"
    )


def _columns(pair: Pair) -> bool:
    is_deferred = re.search(r"\.(only|defer)\(.*\.(union|intersection|difference)\(", pair.statement)
    return is_deferred is not None and pair.fails("do not have the same number of result columns$", None)


def _not_sent(pair: Pair) -> bool:
    if re.search(r"\[(\d+):\1\]", pair.statement) and pair.fails("^Expression contains mixed types", None):
        return pair.remote in ([], False)
    return pair.remote == [] and pair.fails("^ORDER BY not allowed in subqueries of compound statements", None)


def _several_errors(pair: Pair) -> bool:
    pairs = itertools.permutations((_NO_VALUE, _WRONG_NAME, _JOINED), 2)
    return any(pair.fails(local, remote) for local, remote in pairs)


def _unused(pair: Pair) -> bool:
    return "_or_create(" in pair.statement and repr(pair.remote) == "'raises FieldError'"


def _expression(pair: Pair) -> bool:
    is_replaced = re.sub(r"'\w+': 'an expression'(, )?|, (?=})", "", repr(pair.local)).replace(", }", "}")
    return "update_or_create(" in pair.statement and is_replaced == repr(pair.remote)


def _deleted(pair: Pair) -> bool:
    is_deleted = re.search(
        r"(filter\(pk=o\d\.pk\)|o\d)\.delete\(\)|objects(\.filter\(.*\))?\.delete\(\)", pair.statement
    )
    return is_deleted is not None and pair.fails(None, "matching query does not exist") and pair.remote == "failed"


def _new_key(pair: Pair) -> bool:
    return ".remove(" in pair.statement and pair.fails(None, "known when the block has ended.* is not related to")


def _kept(pair: Pair) -> bool:
    """Return True if only the local rows have values of their query or related rows that the mapped function read."""
    return "mapping(" in pair.statement and _columns_of(pair.local) == _columns_of(pair.remote)


def _columns_of(result: Any) -> str:
    related = r"'(cached|prefetched) \w+': (None|\('\w+', [^()]+\)|\[[^]]*\])"
    annotations = r"'x\d+': ([\w.]*\([^()]*\)|[^,}]*)"
    return re.sub(f", ({related}|{annotations})", "", repr(result))


def _short_rows(pair: Pair) -> bool:
    return "Window(" in pair.statement and _has_message(pair.local, "^(tuple|list) index out of range$")


def _branch(pair: Pair) -> bool:
    is_recorded = re.search(r"cond\(.*M\.\w+\.objects", pair.statement) is not None
    return is_recorded and (pair.fails(None, _NO_VALUE) or pair.fails(None, _WRONG_NAME))


KNOWN: tuple[Known, ...] = (
    ("A client may not write a row that it does not see, and the manager of OpenPlace hides closed places.", _proxy),
    ("Whether an ignored row is among those that a client sees is not known, so it is refused.", _ignored),
    ("Django copies an existing row to another key, with columns that the client may not write.", _other_key),
    ("SQLite refuses arms of a union with other columns; a mirror names the columns.", _columns),
    ("A query that can have no rows is not sent, so that other errors of it are not found.", _not_sent),
    ("A value None and a wrong name are two errors of a query; each side finds another one first.", _several_errors),
    ("The service checks all defaults, Django only those that it uses.", _unused),
    ("A Delayed row has no expression in place of the value that the service stores; it loads the value.", _expression),
    ("A row that a block makes and deletes again cannot be an argument of a later operation of the block.", _deleted),
    ("A key that a block has not received yet equals no number, and remove() compares it in the client.", _new_key),
    ("A relation that leads back is in Django the same row, with all that it has; the service loads it.", _kept),
    ("Django selects no expressions of values() after a filter of a window, and fails on the rows.", _short_rows),
    ("A query in a branch of cond() is made when the lambda is recorded, also if no row takes the branch.", _branch),
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
            return Pair(statement, here, there)
    return Pair(changed, "", "")


def reason_of(program: Any, here: Any, there: Any) -> str | None:
    """Return the reason of the difference of a program, or None where it is not explained."""
    pair = first_pair(program, here, there)
    return next((reason for reason, matches in KNOWN if matches(pair)), None)
