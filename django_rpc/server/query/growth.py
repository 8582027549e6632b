"""Size of the texts that an expression makes of literals, estimated before its SQL is run."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db.models import Count, ExpressionWrapper, Max, Min, Value, functions

from django_rpc.server.django_compat import Col, CombinedExpression, Ref

__all__ = ["GROWING", "growth"]


#: Number larger than each limit, for an expression that a client can make large without a large literal.
_UNKNOWN = 10**18
#: Expressions with a result that is not larger than their first source, and than their largest source.
_FIRST = frozenset(
    (functions.Abs, functions.Cast, functions.Ceil, functions.Floor, functions.Round, ExpressionWrapper, Max, Min, Ref)
)
_LARGEST = frozenset((functions.Coalesce, functions.Greatest, functions.Least))
_OPERATORS: dict[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.add, "*": operator.mul}


def _literal(expression: Any) -> Any:
    return expression.value if isinstance(expression, Value) else None


def _number(expression: Any) -> int:
    """Return the largest absolute value of a number; 1 for a column, because only the database knows its value.

    All expressions that are not listed here are refused: a client could make a large number of small literals.
    """
    kind = type(expression)
    if isinstance(expression, Value):
        value: Any = expression.value
        if value is None:
            return 0
        size: Any = abs(value) if isinstance(value, int | float | Decimal) else _UNKNOWN
        return math.ceil(size) if size < _UNKNOWN else _UNKNOWN
    if isinstance(expression, Col) or kind is Count:
        return 1
    if kind is functions.Length:
        return _size(expression.get_source_expressions()[0], {})
    if kind in _FIRST:
        return _number(expression.get_source_expressions()[0])
    if kind in _LARGEST:
        return max(map(_number, expression.get_source_expressions()))
    if isinstance(expression, CombinedExpression) and expression.connector in _OPERATORS:
        return _OPERATORS[expression.connector](_number(expression.lhs), _number(expression.rhs))
    return _UNKNOWN


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


def growth(expression: Any) -> int:
    """Return the estimated size of the result of an expression.

    A column counts as one character, because only the database knows its length.
    """
    return _size(expression, {})


def _size(expression: Any, sizes_by_id: dict[int, int]) -> int:
    if id(expression) in sizes_by_id:
        return sizes_by_id[id(expression)]
    value = _literal(expression)
    if value is not None:
        size = len(value) if isinstance(value, str | bytes) else 1
    else:
        sources = expression.get_source_expressions() if hasattr(expression, "get_source_expressions") else []
        sizes = [0 if source is None else _size(source, sizes_by_id) for source in sources]
        grow = GROWING.get(type(expression))
        size = max(sum(sizes), 1) if grow is None else grow(sources, sizes)
    sizes_by_id[id(expression)] = size
    return size
