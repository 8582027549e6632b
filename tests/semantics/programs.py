"""Programs by their seeds, and the comparison of their results on both sides."""

from __future__ import annotations

import random
import re
import warnings
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction

from tests.semantics.known import reason_of
from tests.semantics.reads import read
from tests.semantics.sides import LOCAL, WAYS, run, sides, tables
from tests.semantics.wide_maps import wide_map
from tests.semantics.wide_reads import wide_read
from tests.semantics.wide_writes import wide_block, wide_write
from tests.semantics.writes import block, mapped, write

__all__ = ["KINDS", "Difference", "Program", "compare", "shrink"]

#: The function that makes a program of each kind.
KINDS = {
    "read": read, "write": write, "block": block, "map": mapped, "wide_read": wide_read, "wide_write": wide_write,
    "wide_block": wide_block, "wide_map": wide_map,
}  # fmt: skip
#: Shares of the kinds.
_SHARES = {"read": 6, "write": 3, "block": 1, "map": 2, "wide_read": 6, "wide_write": 3, "wide_block": 1, "wide_map": 2}


@dataclass
class Program:
    """The text of a program, and the way in which mirrors run it."""

    seed: int
    kind: str
    way: str
    lines: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, seed: int, kind: str | None = None) -> Program:
        """Make the program of a seed; without ``kind``, the seed chooses the kind too."""
        drawn = random.Random(seed)
        kind = kind or drawn.choices(list(_SHARES), list(_SHARES.values()))[0]
        ways = {"map": WAYS[1:], "wide_map": WAYS[1:], "read": WAYS, "wide_read": WAYS, "wide_write": WAYS}
        way = drawn.choice(ways.get(kind, ("query",)))
        return cls(seed, kind, way, KINDS[kind](drawn))

    @property
    def writes(self) -> bool:
        return self.kind.endswith(("write", "block"))


@dataclass
class Difference:
    """A program with two results, and the reason where it is explained."""

    program: Program
    local: Any
    remote: Any
    reason: str | None

    @classmethod
    def of(cls, program: Program, local: Any, remote: Any) -> Difference | None:
        """Return the difference of two results of a program, or None where they are equal."""
        if repr(local) == repr(remote):
            return None
        return cls(program, local, remote, reason_of(program, local, remote))

    def __str__(self) -> str:
        text = "\n    ".join(self.program.lines)
        explained = f"  explained: {self.reason}\n" if self.reason else ""
        return (
            f"seed {self.program.seed} ({self.program.kind}, {self.program.way})\n    {text}\n{explained}"
            f"  local:  {_shortened(self.local, self.remote)}\n  remote: {_shortened(self.remote, self.local)}"
        )


def _shortened(value: Any, other: Any) -> str:
    text, another = repr(value), repr(other)
    start = next(
        (n for n, (a, b) in enumerate(zip(text, another, strict=False)) if a != b), min(len(text), len(another))
    )
    begin = max(start - 300, 0)
    return f"{'...' if begin else ''}{text[begin : start + 300]}{'...' if len(text) > start + 300 else ''}"


def outcome(program: Program, models: Any, way: str) -> Any:
    """Return the results of a program, and the tables where it writes; all of its writes are rolled back."""
    with transaction.atomic(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        noted = run(program.lines, models, way, alias="rpc")
        found = (noted, tables()) if program.writes else noted
        transaction.set_rollback(True)
    connection.queries_log.clear()
    return found


def compare(program: Program) -> Difference | None:
    """Run a program on both sides; return the difference, or None."""
    local, remote = sides()
    return Difference.of(program, outcome(program, local, LOCAL), outcome(program, remote, program.way))


def shrink(difference: Difference) -> Difference:
    """Return a difference of a smaller program with the same beginning: fewer lines, fewer calls in a chain."""
    found = difference
    tried = 0
    while tried < 60:
        for lines in _smaller(found.program.lines):
            tried += 1
            program = Program(found.program.seed, found.program.kind, found.program.way, lines)
            smaller = compare(program)
            if smaller is not None and smaller.reason is None and _raised(smaller) == _raised(difference):
                found = smaller
                break
        else:
            return found
    return found


def _raised(difference: Difference) -> tuple[set[str], set[str]]:
    """Return the errors on both sides: a smaller program with others has another cause."""
    local, remote = (set(re.findall(r"raises [\w.]+", repr(side))) for side in (difference.local, difference.remote))
    return local, remote


def _smaller(lines: list[str]) -> list[list[str]]:
    """Return programs with a line or a call less."""
    fewer = [
        lines[:n] + lines[n + 1 :] for n in range(len(lines)) if len(lines) > 1 and not lines[n].startswith("with")
    ]
    for n, line in enumerate(lines):
        for begin, end in _calls(line):
            fewer.append([*lines[:n], line[:begin] + line[end:], *lines[n + 1 :]])
    return fewer


def _calls(line: str) -> list[tuple[int, int]]:
    """Return the places of calls of methods, ``.filter(...)``, in a line."""
    places = []
    for match in re.finditer(r"\.(?!objects)[a-z_]+\(", line):
        depth, end = 1, match.end()
        while depth and end < len(line):
            depth += {"(": 1, ")": -1}.get(line[end], 0)
            end += 1
        places.append((match.start(), end))
    return places
