"""The arguments that build an expression in its current state.

An expression has the arguments of its construction. Django changes some expressions later: a constraint replaces their
fields by values of an instance (``replace_expressions()``).
"""

from __future__ import annotations

from typing import Any

from django.db.models import expressions, lookups

__all__ = ["current_arguments"]


def current_arguments(value: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the arguments ``args`` of ``value`` with its current sources; ``args`` itself if no source has changed."""
    if isinstance(value, expressions.CombinedExpression):
        return (value.lhs, value.connector, value.rhs) if len(args) == 3 else args
    if isinstance(value, lookups.Lookup):
        return (_current(args[0], value.lhs), _current(args[1], value.rhs)) if len(args) == 2 else args
    if not args or not isinstance(value, expressions.Func | expressions.ExpressionWrapper | expressions.Case):
        return args
    sources = value.get_source_expressions()
    if len(sources) < len(args):  # for example pairs of a condition and a result
        return args
    current = tuple([_current(arg, source) for arg, source in zip(args, sources, strict=False)])
    return args if all(map(_is, current, args)) else current


def _current(arg: Any, source: Any) -> Any:
    """Return ``arg`` if Django makes ``source`` from it, otherwise ``source``."""
    if source is arg or source is None:
        return arg
    if isinstance(arg, str) and type(source) is expressions.F:
        return arg if source.name == arg else source
    if isinstance(arg, str) and not isinstance(source, expressions.Value):
        return source  # the expression of a generated field instead of its name
    if hasattr(arg, "resolve_expression"):
        return source if isinstance(source, expressions.BaseExpression | expressions.F) else arg
    if isinstance(source, expressions.Value):
        return arg if type(source.value) is type(arg) and source.value == arg else source
    return arg


def _is(one: Any, other: Any) -> bool:
    return one is other
