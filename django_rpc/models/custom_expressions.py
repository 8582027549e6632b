"""Names of query expressions on the wire: Django's name, or a name that client and service have both registered.

A ``Func(..., function="LOWER")``, and a subclass that adds nothing to it, is sent as Django's ``Lower``: no SQL text is
sent.
"""

from __future__ import annotations

import functools
from typing import Any

from django.db.models import aggregates, expressions, functions, lookups

from django_rpc.graph.vocabulary.names import EXPRESSIONS, LOOKUPS, OWN, POSTGRES, check_identifier

__all__ = ["name_of", "register_expression"]

_names: dict[type, str] = {}
#: Attributes that a subclass of ``Func`` may set and still only be the function that it names.
_SAYS_NOTHING = frozenset({"function", "output_field", "__module__", "__doc__", "__qualname__", "__firstlineno__"})
_SAYS_NOTHING |= {"__static_attributes__", "name", "arity", "identity", "_output_field_or_none"}


def register_expression(cls: Any = None, *, name: str | None = None) -> Any:
    """Send expressions of a class by a registered name. This is a decorator, with or without ``name``.

    The service registers a class under the same name with ``@site.expression``, and makes it from the same arguments:

    >>> from django.db.models import Aggregate, FloatField
    >>> @register_expression
    ... class Median(Aggregate):
    ...     function = "MEDIAN"
    ...     output_field = FloatField()

    Return the class. Raise ValueError for a name that is not an identifier, TypeError for a class of other objects.
    """
    if cls is None:
        return functools.partial(register_expression, name=name)
    if not (isinstance(cls, type) and issubclass(cls, expressions.BaseExpression)):
        raise TypeError(f"{cls!r} is not a class of query expressions.")
    name = cls.__name__ if name is None else name
    check_identifier(name)
    _names[cls] = OWN + name
    return cls


def name_of(value: expressions.BaseExpression) -> str:
    """Return the wire's name of ``value``; raise TypeError for an expression without a name."""
    cls = type(value)
    registered_name = _names.get(cls)
    if registered_name is not None:
        return registered_name
    djangos = cls.__module__.startswith("django.db.models")
    if djangos and isinstance(value, lookups.Lookup) and value.lookup_name in LOOKUPS:
        return f"lookup:{value.lookup_name}"
    if djangos and cls.__name__ in EXPRESSIONS:
        return cls.__name__
    if cls.__module__.startswith("django.contrib.postgres.") and POSTGRES + cls.__name__ in EXPRESSIONS:
        return POSTGRES + cls.__name__
    same = _as_djangos(value) if isinstance(value, expressions.Func) else None
    if same is not None:
        return same
    raise TypeError(
        f"The expression {cls.__module__}.{cls.__name__} cannot be sent to a service: it is not one of Django's own "
        "query expressions, nor registered by register_expression(). Register it at both ends, or compute it at the "
        "service (a registered method or a computed field)."
    )


def _as_djangos(value: expressions.Func) -> str | None:
    """Return the name of Django's expression for the function of ``value``; None if ``value`` has other SQL."""
    for cls in type(value).__mro__:
        if cls is expressions.Func:
            break
        if not vars(cls).keys() <= _SAYS_NOTHING:
            return None
    if value.extra.keys() - {"function"}:
        return None
    name_and_kind = _by_function().get(str(value.extra.get("function") or value.function).upper())
    return (
        name_and_kind[0]
        if name_and_kind is not None and name_and_kind[1] == bool(value.__dict__.get("contains_aggregate"))
        else None
    )


@functools.cache
def _by_function() -> dict[str, tuple[str, bool]]:
    """Return Django's functions and aggregates with a plain list of arguments, by their SQL functions."""
    names: dict[str, tuple[str, bool]] = {}
    for module in (functions, aggregates):
        classes: dict[str, Any] = vars(module)
        for name, cls in classes.items():
            if not (name in EXPRESSIONS and _is_plain(cls)):
                continue
            names.setdefault(cls.function, (name, issubclass(cls, aggregates.Aggregate)))
    return names


def _is_plain(cls: Any) -> bool:
    func: Any = expressions.Func
    if not (isinstance(cls, type) and issubclass(cls, func)):
        return False
    function: Any = cls
    if not function.function or issubclass(cls, aggregates.Aggregate):
        return bool(function.function)
    return (
        function.template == func.template and function.arg_joiner == func.arg_joiner and not function.window_compatible
    )
