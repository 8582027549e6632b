"""Size of the texts that an expression makes of literals, estimated before its SQL is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Value, functions

from django_rpc.server.allowance import Allowance, ResponseTooLarge

__all__ = ["GROWING", "check_growth"]


def _literal(expression: Any) -> Any:
    return expression.value if isinstance(expression, Value) else None


def _number(expression: Any) -> int:
    """Return a literal number; 1 for a number that only the database knows."""
    value = _literal(expression)
    return max(int(value), 0) if isinstance(value, int | float) and value == value and abs(value) < 1e300 else 1


def _repeat(sources: list[Any], sizes: list[int]) -> int:
    return max(sizes[0], 1) * _number(sources[1])


def _pad(sources: list[Any], sizes: list[int]) -> int:
    return _number(sources[1])


def _replace(sources: list[Any], sizes: list[int]) -> int:
    """Return the size for the largest result: a text that consists only of the searched part."""
    searched = _literal(sources[1])
    length = len(searched) if isinstance(searched, str) and searched else 1
    return max(sizes[0], 1) * max(-(-sizes[2] // length), 1)


#: Functions with results longer than their arguments, and the functions that return the length of the results.
GROWING: dict[type, Callable[[list[Any], list[int]], int]] = {
    functions.Repeat: _repeat,
    functions.LPad: _pad,
    functions.RPad: _pad,
    functions.Replace: _replace,
}


def check_growth(expression: Any, limits: Allowance) -> None:
    """Raise ResponseTooLarge for an expression with a result that is larger than a reply may be.

    A column counts as one character, because only the database knows its length.
    """
    if _size(expression, {}) > limits.response_bytes:
        raise ResponseTooLarge(limits.response_bytes, f"{type(expression).__name__}() makes a text that is too large.")


def _size(expression: Any, known: dict[int, int]) -> int:
    if id(expression) in known:
        return known[id(expression)]
    value = _literal(expression)
    if value is not None:
        size = len(value) if isinstance(value, str | bytes) else 1
    else:
        sources = expression.get_source_expressions() if hasattr(expression, "get_source_expressions") else []
        sizes = [0 if source is None else _size(source, known) for source in sources]
        grow = GROWING.get(type(expression))
        size = max(sum(sizes), 1) if grow is None else grow(sources, sizes)
    known[id(expression)] = size
    return size
