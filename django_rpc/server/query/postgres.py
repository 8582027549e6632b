"""Expressions and output fields of ``django.contrib.postgres``.

Its modules are imported with the first expression that needs them: they need psycopg, which a service on another
database does not have.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

from django.db import NotSupportedError
from django.db.models import Value

from django_rpc.graph.vocabulary.names import POSTGRES
from django_rpc.graph.vocabulary.postgres import COMBINED
from django_rpc.server.django_compat import AGGREGATE_ORDER, string_delimiter
from django_rpc.server.query.growth import GROWING

__all__ = ["MAKERS", "class_of", "refusal"]

#: Rows of a group, where the size of a result is estimated before it is computed.
_ROWS = 1_000


def refusal(name: str) -> NotSupportedError:
    """Return the error for an expression that only PostgreSQL has."""
    return NotSupportedError(f"{name.removeprefix(POSTGRES)} needs PostgreSQL, and this service has another database.")


def class_of(name: str) -> Any:
    """Return the class of an expression or of a field; raises NotSupportedError without a driver for PostgreSQL."""
    try:
        return _classes()[name.removeprefix(POSTGRES)]
    except ImportError:
        raise refusal(name) from None


@functools.cache
def _classes() -> dict[str, Any]:
    from django.contrib.postgres import aggregates, expressions, fields, functions, search

    classes: dict[str, Any] = {}
    for module in (aggregates, expressions, fields, functions, search):
        classes |= {name: cls for name, cls in vars(module).items() if isinstance(cls, type)}
    GROWING.update({classes[name]: _collected for name in ("ArrayAgg", "JSONBAgg", "StringAgg")})
    return classes


def _collected(sources: list[Any], sizes: list[int]) -> int:
    return _ROWS * max(sum(sizes), 1)


def _ordered(name: str) -> Callable[[list[Any], dict[str, Any]], Any]:
    """Return the constructor of an aggregate with an order: ``order_by``, and before Django 5.2 ``ordering``."""

    def make(args: list[Any], kwargs: dict[str, Any]) -> Any:
        order = [kwargs.pop(keyword) for keyword in ("order_by", "ordering") if keyword in kwargs]
        if len(order) > 1:
            raise TypeError("Cannot specify both order_by and ordering.")
        if order:
            kwargs[AGGREGATE_ORDER] = order[0]
        if "expression" in kwargs:
            args = [kwargs.pop("expression"), *args]
        if name == "StringAgg":
            args = [*args, *([kwargs.pop("delimiter")] if "delimiter" in kwargs else [])]
            args[-1] = _delimiter(args[-1])
        return class_of(name)(*args, **kwargs)

    return make


def _delimiter(value: Any) -> Any:
    """Return a delimiter for Django's constructor: a parameter of the statement, and never a name (CVE-2020-7471)."""
    text = value.value if type(value) is Value else value
    if not isinstance(text, str):
        raise TypeError("The delimiter of a StringAgg is a text.")
    return string_delimiter(text)


def _combined(name: str) -> Callable[[list[Any], dict[str, Any]], Any]:
    def make(args: list[Any], kwargs: dict[str, Any]) -> Any:
        arguments = dict(zip(("lhs", "connector", "rhs", "config"), args, strict=False)) | kwargs
        if name.endswith("Vector"):
            return arguments["lhs"] + arguments["rhs"]
        return {"&&": operator.and_, "||": operator.or_}[arguments["connector"]](arguments["lhs"], arguments["rhs"])

    return make


#: Expressions that are not made by a call of their class with the arguments of the message.
MAKERS: dict[str, Callable[[list[Any], dict[str, Any]], Any]] = {
    **{POSTGRES + name: _ordered(name) for name in ("ArrayAgg", "JSONBAgg", "StringAgg")},
    **{name: _combined(name) for name in COMBINED},
}
