"""Texts of errors for clients.

The text of an exception may hold values of rows, names of tables and hidden fields, or the text of an instance, which
may contain any column. A text reaches a client only under one of these conditions:

- the exception is marked by `public_error`, or its class is;
- this package raised it, since the package writes its texts for clients;
- it is a constant of Django's code;
- it matches a template of `TEMPLATES`, and each of its variable parts is checked: a name that the client sent or may
  see, a value that the client sent, the name of a public type.

All other texts stay in the service's log.
"""

from __future__ import annotations

import ast
import builtins
import datetime
import decimal
import os
import re
from collections.abc import Callable
from dis import opmap
from functools import cache
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import models
from django.db.models import functions

from django_rpc.graph.vocabulary import names as vocabulary
from django_rpc.graph.walk import iter_leaves
from django_rpc.server.errors.public import is_public
from django_rpc.server.errors.sent_values import words_of

if TYPE_CHECKING:
    from django_rpc.server.policy.client_policy import Policy

__all__ = ["TEMPLATES", "WITHHELD", "checked_text"]

#: End of a text in place of the text of an exception.
WITHHELD = "The service's log has the details of this request."


#: Texts of Django and Python. The kinds of variable parts are the keys of ``_KINDS``; ``{rest}`` is left out.
TEMPLATES = (
    # Names
    "Cannot resolve keyword '{name}' into field.{rest}",
    "Unsupported lookup '{name}' for {type} or join on the field not permitted.",
    "Unsupported lookup '{name}' for {type} or join on the field not permitted, perhaps you meant {names}?",
    "Related Field got invalid lookup: {name}",
    "Cannot aggregate over the '{name}' alias. Use annotate() to promote it.",
    "Cannot select the '{name}' alias. Use annotate() to promote it.",
    "Invalid field name(s) given in select_related: {names}.{rest}",
    "Non-relational field given in select_related: '{name}'.{rest}",
    "Invalid field name(s) given in select_for_update(of=(...)): {names}.{rest}",
    "Invalid field name(s) for model {model}: {names}.",
    "Field {model}.{name} cannot be both deferred and traversed using select_related at the same time.",
    "Cannot find '{name}' on {model} object, '{name}' is an invalid parameter to prefetch_related()",
    "'{name}' does not resolve to an item that supports prefetching - this is an invalid parameter to "
    "prefetch_related().",
    "'{name}' lookup was already seen with a different queryset. You may need to adjust the ordering of your lookups.",
    "The annotation '{name}' conflicts with a field on the model.",
    "The named annotation '{name}' conflicts with the default name for another annotation.",
    "in_bulk()'s field_name must be a unique field but '{name}' isn't.",
    "The following fields do not exist in this model: {names}",
    "The following fields do not exist in this model, are m2m fields, primary keys, or are non-concrete fields: "
    "{names}",
    "{model} has no field named '{name}'",
    "{model}() got unexpected keyword arguments: {names}",
    "'{type}' object has no attribute '{name}'",
    "'{model}' object has no attribute '{name}'",
    "{model} has no {name}.",
    "{name}() prohibited to prevent data loss due to unsaved related object '{name}'.",
    # Rows
    "{model} matching query does not exist.",
    "get() returned more than one {model} -- it returned {number}!",
    "get() returned more than one {model} -- it returned more than {number}!",
    # Values
    "Field '{name}' expected a number but got {value}.",
    "invalid literal for int() with base 10: {value}",
    "could not convert string to float: {value}",
    "{type} expression does not support composite primary keys.",
    "The QuerySet value for the exact lookup must have {number} selected fields (received {number})",
    "The QuerySet value for the 'in' lookup must have {number} selected fields (received {number})",
    # Expressions
    "Cannot compute {type}('{name}'): '{name}' is an aggregate",
    "Expression contains mixed types: {type}, {type}. You must set output_field.",
    "Cannot infer type of '{operator}' expression involving these types: {type}, {type}. You must set output_field.",
    "Using an aggregate in order_by() without also including it in annotate() is not allowed: {expression}",
    "Cannot update when ordering by an aggregate: {expression}",
    "Aggregate functions are not allowed in this query ({name}={expression}).",
    "Window expressions are not allowed in this query ({name}={expression}).",
    "Expression '{type}' isn't compatible with OVER clauses.",
    "{type} is disallowed in the filter clause.",
    "{type} does not allow distinct.",
    "{type} does not allow default.",
    "{type} requires a non-null source expression.",
    "{type} requires a positive integer for the offset.",
    "{type} requires a positive integer as for nth.",
    "'{type}' takes exactly {number} argument ({number} given)",
    "'{type}' takes exactly {number} arguments ({number} given)",
    "{name} is not an aggregate expression",
    "QuerySet.{name}() received non-expression(s): {value}.",
    "Cannot extract time component '{name}' from DateField '{name}'.",
    "Cannot extract component '{name}' from DurationField '{name}'.",
    "'{name}' isn't a DateField, TimeField, or DateTimeField.",
    "Cannot truncate DateField '{name}' to {type}.",
    "Cannot truncate TimeField '{name}' to {type}.",
    'Invalid lookup "{name}" for model {model}".',
    "FilteredRelation's relation_name cannot contain lookups (got '{name}').",
    "FilteredRelation's condition doesn't support relations outside the '{name}' (got '{name}').",
    "FilteredRelation's condition doesn't support nested relations deeper than the relation_name (got '{name}' for "
    "'{name}').",
    # Queries
    "Cannot use {operator} operator with combined queryset.",
    "Cannot use QuerySet.{name}() on an unordered queryset performing aggregation. Add an ordering with order_by().",
    "Calling QuerySet.{name}() after {name}() is not supported.",
    "Calling QuerySet.get(...) with filters after {name}() is not supported.",
    "{name} is not supported on this database backend.",
    "QuerySet indices must be integers or slices, not {type}.",
    "The following kwargs are invalid: {names}",
    "This backend does not support {type} subtraction.",
    "Unknown options: {names}",
    "{format} is not a recognized format. Allowed formats: {formats}",
    "{format} is not a recognized format.{rest}",
    # Python
    "unsupported operand type(s) for {operator}: '{type}' and '{type}'",
    "bad operand type for unary {operator}: '{type}'",
    "'{operator}' not supported between instances of '{type}' and '{type}'",
    'can only concatenate {type} (not "{type}") to {type}',
    "can't multiply sequence by non-int of type '{type}'",
    "object of type '{type}' has no len()",
    "argument of type '{type}' is not iterable",
    "'{type}' object is not iterable",
    "'{type}' object is not subscriptable",
    "'{type}' object is not callable",
    "'{type}' object cannot be interpreted as an integer",
    "unhashable type: '{type}'",
    "cannot unpack non-iterable {type} object",
    "list indices must be integers or slices, not {type}",
    "tuple indices must be integers or slices, not {type}",
    "string indices must be integers, not '{type}'",
    "{type} index out of range",
    "{name}() got an unexpected keyword argument '{name}'",
    "{name}() got multiple values for argument '{name}'",
    "{name}() missing {number} required positional argument: '{name}'",
    "{name}() missing {number} required positional arguments: {names}",
    "{name}() missing {number} required keyword-only argument: '{name}'",
    "{name}() missing {number} required keyword-only arguments: {names}",
    "{name}() takes {number} positional argument but {number} were given",
    "{name}() takes {number} positional arguments but {number} were given",
    "{name}() takes {number} positional arguments but {number} was given",
    "{name}() takes from {number} to {number} positional arguments but {number} were given",
    "division by zero",
    "integer division or modulo by zero",
    "integer modulo by zero",
    "float division by zero",
    "float modulo",
    "decimal division by zero",
    "negative shift count",
)

#: Texts of Django that hold the text of an instance, with a text in place of each.
_OF_INSTANCES = tuple(
    (re.compile(pattern, re.DOTALL), text)
    for pattern, text in (
        (r'Cannot query ".*": Must be ".*" instance\.', "An instance of another model was given."),
        (r"Cannot use QuerySet for .*", "A query of another model was given."),
        (r"Failed to insert expression .*", "F() expressions can only be used to update, not to insert."),
        (r"Tried to update field .* with a model instance, .*", "An instance of another model was given."),
        (r"Cannot update model field .*", "Only fields with a column of the model's table can be updated."),
        (r"Cannot assign .*", "An instance of another model was given."),
        (r"Cannot add .*", "An instance of another database, or without a value for its key, was given."),
        (r".* is not related to .*\.", "A row that was named is not related to this one."),
        (r"'.*' instance expected, got .*", "An instance of another model was given."),
        (r".* instance (isn't saved|needs to have a primary key).*", "An instance that is not saved was given."),
        (r'".*" needs to have a value for field .*', "An instance that is not saved was given."),
    )
)

_TYPES = frozenset(
    {
        *(name for name, value in vars(builtins).items() if isinstance(value, type)),
        *(name.removeprefix(vocabulary.POSTGRES) for name in vocabulary.EXPRESSIONS),
        *vocabulary.FIELDS,
        *(name for space in (models, functions) for name in space.__all__),
        *(kind.__name__ for kind in (datetime.date, datetime.datetime, datetime.time, datetime.timedelta)),
        *("UUID", "NoneType", "Query", "decimal.Decimal", "datetime.timedelta", "datetime.datetime", "datetime.date"),
        decimal.Decimal.__name__,
    }
)
_OPERATORS = r"[-+*/%&|^<>=@~]{1,3}|\*\* or pow\(\)|divmod\(\)|and|or|not"

#: Methods that return the only argument of an exception as its text.
_PLAIN_TEXTS = (BaseException.__str__, AttributeError.__str__)
#: Longer texts are not compared with the templates.
_MAX_LENGTH = 2_000
#: Column of a compiled query in an error of Django, with the names of the alias and of the model.
_COLUMN = re.compile(r"Col\(\w+, [\w.]+\.(\w+)\)")


def checked_text(error: BaseException, policy: Policy | None) -> str | None:
    """Return a text of ``error`` that may reach the client; None if there is no such text."""
    if is_public(error):
        return str(error)
    text = error.args[0] if len(error.args) == 1 else None
    if isinstance(error, OSError):  # its text has the path
        return os.strerror(error.errno) if error.errno else None
    if isinstance(error, KeyError) and type(text) in (str, int):
        return str(text) if _is_value(repr(text), policy) or _is_name(str(text), policy) else None
    if type(text) is not str or len(text) > _MAX_LENGTH or type(error).__str__ not in _PLAIN_TEXTS:
        return None
    if _is_of_the_package(error.__traceback__) or _is_constant_of_django(text, error.__traceback__):
        return text
    for pattern, replacement in _OF_INSTANCES:
        if pattern.fullmatch(text):
            return replacement
    return _rebuilt(_COLUMN.sub(r"F(\1)", text), policy)


def _rebuilt(text: str, policy: Policy | None) -> str | None:
    """Return ``text`` rebuilt from the first template that matches, with checked variable parts; otherwise None."""
    for pattern, make, kinds in _templates():
        match = pattern.fullmatch(text)
        if match is None:
            continue
        parts = [_KINDS[kind](part, policy) for kind, part in zip(kinds, match.groups(), strict=True)]
        if None not in parts:
            return make(*parts)
    return None


@cache
def _templates() -> list[tuple[re.Pattern[str], Callable[..., str], list[str]]]:
    """Return for each template its pattern, the function that formats the parts, and the kinds of the parts."""
    compiled = []
    for template in TEMPLATES:
        pieces = re.split(r"\{(\w+)\}", template)
        kinds = pieces[1::2]
        pattern = "".join("(.*?)" if place % 2 else re.escape(piece) for place, piece in enumerate(pieces))
        compiled.append((re.compile(pattern, re.DOTALL), re.sub(r"\{\w+\}", "{}", template).format, kinds))
    return compiled


def _name(part: str, policy: Policy | None) -> str | None:
    return part if _is_name(part, policy) else None


def _names(part: str, policy: Policy | None) -> str | None:
    names = re.split(r"'?, '?|', and '|' and '|, or ", part.strip("'"))
    return part if all(_is_name(name, policy) for name in names) else None


def _is_name(name: str, policy: Policy | None) -> bool:
    """Return True if the client sent each part of a name or path, or may see a field of this name."""
    if policy is None or re.fullmatch(r"[-+]?[\w.]{1,200}", name) is None:
        return False
    parts = [part for part in re.split(r"__|\.", name.lstrip("-+")) if part]
    return all(part in policy.sent.words or policy.names_field(part) for part in parts)


def _format(part: str, policy: Policy | None) -> str | None:
    """Return a format of explain(), which Django writes in capitals, if the client sent it in any letters."""
    sent = policy is not None and repr(part).lower() in map(str.lower, policy.sent.literals)
    return part if sent else None


def _value(part: str, policy: Policy | None) -> str | None:
    return part if _is_value(part, policy) else None


def _is_value(part: str, policy: Policy | None) -> bool:
    """Return True if ``part`` represents a value that the client sent, or a container of such values."""
    if policy is None or len(part) > 200:
        return False
    if part in policy.sent.literals:
        return True
    try:
        return all(repr(leaf) in policy.sent.literals for leaf in iter_leaves(ast.literal_eval(part)))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False


def _type(part: str, policy: Policy | None) -> str | None:
    return part if part in _TYPES else None


def _model(part: str, policy: Policy | None) -> str | None:
    if policy is None:
        return None
    if part in policy.sent.words:
        return part
    named = [model for model in apps.get_models() if model.__name__ == part]
    return part if any(policy.exposure(model) is not None for model in named) else None


def _expression(part: str, policy: Policy | None) -> str | None:
    """Return the representation of an expression if all its words are functions or names that the client knows."""
    if re.fullmatch(r"[\w\s().,'=*+/-]{1,500}", part) is None:
        return None
    words = words_of(re.sub(r"\b\d+\b", "", part))
    return part if all(word in _TYPES or word in _KEYWORDS or _is_name(word, policy) for word in words) else None


_KEYWORDS = frozenset({"descending", "distinct", "filter", "default", "lookup", "expression", "ASC", "DESC"})

_KINDS: dict[str, Callable[[str, Any], str | None]] = {
    "name": _name,
    "names": _names,
    "value": _value,
    "type": _type,
    "model": _model,
    "expression": _expression,
    "format": _format,
    "formats": lambda part, policy: part if re.fullmatch(r"[A-Z]{1,20}(, [A-Z]{1,20}){0,20}", part) else None,
    "number": lambda part, policy: part if re.fullmatch(r"\d{1,20}", part, re.ASCII) else None,
    "operator": lambda part, policy: part if re.fullmatch(_OPERATORS, part) else None,
    "rest": lambda part, policy: "",
}


def _is_of_the_package(traceback: TracebackType | None) -> bool:
    """Return True if a ``raise`` in this package raised the exception, and not code that the package called."""
    frame = _innermost(traceback)
    if frame is None:
        return False
    module = frame.tb_frame.f_globals.get("__name__", "")
    if not module.startswith("django_rpc.") or module.startswith("django_rpc.demo."):
        return False
    return frame.tb_frame.f_code.co_code[frame.tb_lasti] == opmap["RAISE_VARARGS"]


def _is_constant_of_django(text: str, traceback: TracebackType | None) -> bool:
    """Return True if Django raised the exception with a text that is a constant in its code."""
    frame = _innermost(traceback)
    if frame is None or not frame.tb_frame.f_globals.get("__name__", "").startswith("django."):
        return False
    return text in _constants(frame.tb_frame.f_code)


@cache
def _constants(code: CodeType) -> frozenset[str]:
    return frozenset(value for value in code.co_consts if type(value) is str)


def _innermost(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback
