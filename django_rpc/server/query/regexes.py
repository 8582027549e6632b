"""Search texts by regular expressions on SQLite, within limits of memory and time.

SQLite calls Python for each search. Python's ``re`` cannot be stopped, so the package ``regex`` is used: it has a
timeout. The compiler of that package has no timeout, and it accepts patterns that use memory without a limit
(recursion). So Python parses each pattern first, because it does not accept these additions, and the size is limited.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from re import _constants as codes  # type: ignore[attr-defined]  # private in re
from re import _parser as parser  # type: ignore[attr-defined]  # private in re
from typing import Any

from django.db import DataError, NotSupportedError

__all__ = ["MAX_TEXT", "is_installed", "searcher"]

#: Characters of a pattern.
MAX_PATTERN = 1_000
#: Items of a pattern; an item in a repetition counts as often as it is repeated.
MAX_ITEMS = 10_000
#: Groups and repetitions within each other.
MAX_DEPTH = 50
#: Characters of a searched text: a search remembers the positions that it may return to.
MAX_TEXT = 1_000_000

_COUNT = re.compile(r"\{(\d+(,\d*)?|,\d*)\}")
#: Codes with a pattern as a part.
_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT)

Search = Callable[[str, float | None], bool]


def is_installed() -> bool:
    """Return True if the package ``regex`` is installed."""
    return find_spec("regex") is not None


@lru_cache(maxsize=256)
def searcher(pattern: str) -> Search:
    """Return ``search(text, seconds)`` for a pattern; raises DataError if the pattern is wrong or too large.

    >>> searcher("^a+$")("aaa", None)
    True
    """
    try:
        import regex
    except ImportError:
        raise NotSupportedError(
            "This service cannot search by a regular expression: it has SQLite, and needs the package 'regex' "
            "(pip install 'django-rpc[server]')."
        ) from None
    if len(pattern) > MAX_PATTERN:
        raise DataError(f"The regular expression is too long: at most {MAX_PATTERN:,} characters are allowed.")
    try:
        compiled = regex.compile(_as_python_reads(pattern), cache_pattern=False)
    except (re.error, regex.error, ValueError, OverflowError, RecursionError):
        raise DataError("Python's module 're' cannot read the regular expression.") from None

    def search(text: str, seconds: float | None) -> bool:
        if len(text) > MAX_TEXT:
            raise DataError(f"The text is too long for a regular expression: more than {MAX_TEXT:,} characters.")
        return compiled.search(text, timeout=seconds) is not None

    return search


def _as_python_reads(pattern: str) -> str:
    """Return ``pattern`` with the meaning that it has for Python, written for the package ``regex``; check its size."""
    tree = parser.parse(pattern)
    if tree.state.flags & re.VERBOSE:
        raise DataError("The regular expression has the flag 'x', which is not supported here.")
    items = _items(tree, 0)
    if items > MAX_ITEMS:
        raise DataError(f"The regular expression is too large: its counts make more than {MAX_ITEMS:,} items.")
    return _without_additions(pattern)


def _items(tree: Any, depth: int) -> int:
    """Return the number of items in a parsed pattern; a repeated item counts as often as it is repeated."""
    if depth > MAX_DEPTH:
        raise DataError(f"The regular expression is too deep: at most {MAX_DEPTH} levels are allowed.")
    number = 0
    for code, value in tree:
        if code in _REPEATS:
            lowest, highest, part = value
            times = highest if highest is not codes.MAXREPEAT else lowest + 1
            number += max(int(times), 1) * max(_items(part, depth + 1), 1)
            continue
        if code is codes.SUBPATTERN and value[1] & re.VERBOSE:
            raise DataError("The regular expression has the flag 'x', which is not supported here.")
        number += 1 + sum(_items(part, depth + 1) for part in _parts(value))
    return number


def _parts(value: Any) -> list[Any]:
    """Return the patterns inside the value of a code."""
    if isinstance(value, parser.SubPattern):
        return [value]
    if isinstance(value, list | tuple):
        return [part for item in value for part in _parts(item)]
    return []


def _without_additions(pattern: str) -> str:
    """Return a pattern of Python with escapes for characters that have an additional meaning in the package ``regex``.

    For the package, ``{e<=3}`` outside of a character class is a fuzzy match, and ``[`` can begin a nested class.

    >>> _without_additions("a{2}{e<=3}[[:alpha:]]")
    'a{2}\\\\{e<=3}[\\\\[:alpha:]]'
    """
    made, place, class_start = [], 0, None
    while place < len(pattern):
        character, end = pattern[place], place + 1
        if character == "\\":
            end = pattern.index("}", place) + 1 if pattern.startswith("\\N{", place) else place + 2
        elif class_start is not None:
            if character == "]" and place > class_start:
                class_start = None
            elif character in "[&~|-" and (character == "[" or pattern[place + 1 : place + 2] == character):
                made.append("\\")
        elif character == "[":
            class_start = place + 2 if pattern.startswith("[^", place) else place + 1
            end = class_start
        elif pattern.startswith("(?#", place):
            place = pattern.index(")", place) + 1
            continue
        elif character == "{":
            count = _COUNT.match(pattern, place)
            if count is None:
                made.append("\\")
            else:
                end = count.end()
        made.append(pattern[place:end])
        place = end
    return "".join(made)
