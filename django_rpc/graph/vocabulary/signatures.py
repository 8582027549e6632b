"""Checks of the names inside arguments: each method and expression limits the names that it takes.

Client and server use these checks. A name in an argument may become an alias in SQL, a path through relations or a
keyword of the ORM. So it is checked before the ORM receives it. Every check raises ValueError or returns None.

>>> check_method_arguments("filter", (), {"_connector": "OR"})
Traceback (most recent call last):
ValueError: '_connector' is not a valid lookup path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from django_rpc.graph.nodes import Node
from django_rpc.graph.values import Condition, Expr
from django_rpc.graph.vocabulary import postgres
from django_rpc.graph.vocabulary.names import (
    CONNECTORS,
    DATE_PARTS,
    EXPRESSIONS,
    OUTPUT_FIELDS,
    OWN,
    POSTGRES,
    POSTGRES_AGGREGATES,
    check_identifier,
    check_path,
    check_result_name,
)

__all__ = ["CONDITION_CONNECTORS", "THROUGH_PREFIX", "check_condition", "check_expression", "check_method_arguments"]

#: The prefix of the alias of a through model's column. A field name has no two underscores in a row, so the alias
#: cannot replace a field or another attribute of a model.
THROUGH_PREFIX = "rpc_through__"
#: The operators that join the children of a condition.
CONDITION_CONNECTORS: frozenset[str] = frozenset({"AND", "OR", "XOR"})

#: Methods that take lookups as keywords.
_LOOKUP_METHODS = frozenset({"filter", "exclude", "get", "get_or_create", "update_or_create"})
#: Methods that take conditions or expressions as positional arguments. Other values would reach the ORM unchecked.
_EXPRESSION_METHODS = frozenset({"filter", "exclude", "get", "filter_reuse", "annotate", "alias", "aggregate"})
_AGGREGATES = frozenset({"Avg", "Count", "Max", "Min", "StdDev", "Sum", "Variance"})
#: Methods that take names of columns as positional strings; ``-`` may precede a name.
_ORDER_METHODS = frozenset({"order_by", "add_ordering", "default_ordering", "latest", "earliest"})
#: Methods that take paths as positional strings.
_PATH_METHODS = frozenset({"values", "values_list", "only", "defer", "distinct", "select_related", "prefetch_related"})
#: Options of ``explain`` that change only the output or the measurement (CVE-2022-28347: options become SQL).
_EXPLAIN_OPTIONS = frozenset(
    "format analyze verbose costs settings buffers wal timing summary generic_plan memory serialize".split()
)
#: The form of a format name; the service's database decides which formats exist.
_WORDS = re.compile(r"[A-Za-z][A-Za-z0-9_ ]{0,62}", re.ASCII)
#: Keyword arguments that are dicts of field values.
_DEFAULTS = frozenset({"defaults", "create_defaults", "through_defaults"})

#: Expressions that take strings as data, or have a check for their strings.
_STRINGS_ARE_DATA = frozenset(
    "Value KT KeyTransform KeyTextTransform JSONObject RowRange ValueRange CombinedExpression Extract Trunc "
    "Collate".split()
)
_COLLATION = re.compile(r"[\w-]{1,63}", re.ASCII)  # the pattern of Django
_EXCLUSIONS = frozenset({"CURRENT ROW", "GROUP", "TIES", "NO OTHERS"})


def _check_ordering(name: str) -> None:
    if name != "?":
        check_path(name[1:] if name[:1] in ("-", "+") else name)


def _check_strings(values: Any, check: Callable[[str], None]) -> None:
    """Check each string among the values, also inside nested lists and tuples."""
    for value in values:
        if isinstance(value, str):
            check(value)
        elif isinstance(value, list | tuple):
            _check_strings(value, check)


def _one_of(value: Any, allowed: frozenset[str], what: str) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{value!r} is not {what}; allowed are {', '.join(sorted(allowed))}.")


def check_method_arguments(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Check the names among the arguments of the method ``name`` of the vocabulary.

    >>> check_method_arguments("order_by", ("-customer__name", "?"), {})
    """
    check_keyword = check_path if name in _LOOKUP_METHODS else check_identifier
    for keyword, value in kwargs.items():
        if name == "through_columns":
            _check_through_column(keyword, value)
            continue
        if name == "aggregate":
            check_result_name(keyword)  # no later step uses it as a path; the Django admin uses names like 0__c and __c
        elif name == "annotate" and keyword == _default_alias(value):
            check_path(keyword)
        else:
            check_keyword(keyword)
        if keyword in _DEFAULTS and isinstance(value, dict):
            for field in value:
                check_identifier(field)
    if name in _EXPRESSION_METHODS:
        _check_conditions(args)
    elif name in _ORDER_METHODS:
        _check_strings(args, _check_ordering)
        fields = kwargs.get("fields", ())
        _check_strings(fields if isinstance(fields, list | tuple) else (fields,), _check_ordering)
    elif name in _PATH_METHODS:
        _check_strings(args, check_path)
    elif name in _SPECIAL:
        _SPECIAL[name](args, kwargs)


def _default_alias(value: Any) -> str | None:
    """Return the alias that Django gives to an aggregate without an alias; only this alias may contain ``__``.

    >>> _default_alias(Expr("Sum", ("lines__price",)))
    'lines__price__sum'
    """
    if not isinstance(value, Expr) or value.name not in _AGGREGATES | POSTGRES_AGGREGATES or not value.args:
        return None
    path = value.args[0]
    name = value.name.removeprefix(POSTGRES).lower()
    if isinstance(path, Expr) and path.name == "F" and path.args:
        path = path.args[0]
    return f"{path}__{name}" if isinstance(path, str) and path != "*" else None


def _check_conditions(args: tuple[Any, ...]) -> None:
    for value in args:
        if isinstance(value, tuple) and len(value) == 2:
            check_path(value[0])  # Django treats a pair (lookup, value) as a condition
        elif not isinstance(value, Condition | Expr | Node):
            raise ValueError("A positional argument is a condition or an expression here, and no other value.")


def _check_through_column(alias: str, target: Any) -> None:
    if not alias.startswith(THROUGH_PREFIX):
        raise ValueError(f"The alias of a column of a through model starts with {THROUGH_PREFIX!r}.")
    check_identifier(alias.removeprefix(THROUGH_PREFIX))
    if not (isinstance(target, list | tuple) and len(target) == 2 and all(isinstance(part, str) for part in target)):
        raise ValueError("A column of a through model is (model, attribute).")
    check_identifier(target[1])


def _check_dates(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    values = dict(zip(("field_name", "kind", "order"), args, strict=False)) | dict(kwargs)
    check_path(values.get("field_name"))
    _one_of(values.get("kind"), DATE_PARTS, "a part of a date")
    _one_of(values.get("order", "ASC"), frozenset({"ASC", "DESC"}), "an order")


def _check_explain(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    unknown = sorted(str(option) for option in kwargs.keys() - _EXPLAIN_OPTIONS)
    if unknown:  # the wording of Django
        raise ValueError(
            f"Unknown options: {', '.join(unknown)}. Those of explain() are {', '.join(sorted(_EXPLAIN_OPTIONS))}."
        )
    for value in (*args, *kwargs.values()):
        if isinstance(value, str):
            if not _WORDS.fullmatch(value):
                raise ValueError(f"{value!r} is not a format of explain().")
        elif value is not None and not isinstance(value, bool):
            raise ValueError("Options of explain() are names, True, False or None.")


def _check_in_bulk(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    check_path(args[1] if len(args) > 1 else kwargs.get("field_name", "pk"))


def _check_add_fields(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    names = args[0] if args else kwargs.get("names", ())
    if not isinstance(names, list | tuple):
        raise ValueError("add_fields takes a list of names.")
    for name in names:
        check_path(name)


def _check_lock(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    of = kwargs.get("of", ())
    _check_strings(of if isinstance(of, list | tuple) else (of,), check_path)


_SPECIAL: dict[str, Callable[[tuple[Any, ...], Mapping[str, Any]], None]] = {
    "dates": _check_dates,
    "datetimes": _check_dates,
    "explain": _check_explain,
    "in_bulk": _check_in_bulk,
    "add_fields": _check_add_fields,
    "select_for_update": _check_lock,
}


def check_condition(condition: Condition) -> None:
    """Check the connector and the lookups of a condition. Its children must have been checked before.

    >>> check_condition(Condition((("total__gt", 5),), "AND"))
    """
    _one_of(condition.connector, CONDITION_CONNECTORS, "a connector of conditions")
    if not isinstance(condition.negated, bool):
        raise ValueError("'negated' of a condition is true or false.")
    for child in condition.children:
        if isinstance(child, Condition | Expr):
            continue
        if not isinstance(child, tuple) or len(child) != 2:
            raise ValueError("A child of a condition is a pair (lookup, value), a condition or an expression.")
        check_path(child[0])


def check_expression(expr: Expr) -> None:
    """Check the name, keywords and strings of an expression. Expressions inside it must have been checked before.

    >>> check_expression(Expr("F", ("total",)))
    >>> check_expression(Expr("Func", ("total",), {"template": "1; DROP TABLE x"}))
    Traceback (most recent call last):
    ValueError: 'Func' is not an expression that can be sent to a service.
    """
    name = expr.name
    if name in OUTPUT_FIELDS:
        _check_field(expr)
        return
    if name.startswith(OWN):
        _check_own(expr)
        return
    allowed = EXPRESSIONS.get(name)
    if allowed is None:
        raise ValueError(f"{name!r} is not an expression that can be sent to a service.")
    for keyword in expr.kwargs:
        if keyword not in allowed and name != "JSONObject":
            raise ValueError(f"{name} has no keyword {keyword!r}; it takes {', '.join(sorted(allowed)) or 'none'}.")
    if name != "JSONObject":
        _check_output(expr)
    if name in _EXPRESSION_CHECKS:
        _EXPRESSION_CHECKS[name](expr)
    if name not in _STRINGS_ARE_DATA and not name.startswith("lookup:"):
        if name not in postgres.CHECKS:
            _check_strings(expr.args, _check_column)
        for keyword in ("name", "expression", "relation_name", "lookup", "partition_by", "order_by", "ordering"):
            _check_strings((expr.kwargs.get(keyword),), _check_column)


def _check_output(expr: Expr) -> None:
    output = expr.kwargs.get("output_field")
    if output is not None and not (isinstance(output, Expr) and output.name in OUTPUT_FIELDS):
        raise ValueError("output_field is a model field that can be sent to a service.")


def _check_own(expr: Expr) -> None:
    """Check an expression that the service registered. Its class decides whether strings are paths or data."""
    check_identifier(expr.name.removeprefix(OWN))
    for keyword in expr.kwargs:
        check_identifier(keyword)
    _check_output(expr)


def _check_collation(expr: Expr) -> None:
    collation = _argument(expr, 1, "collation")
    if not isinstance(collation, str) or not _COLLATION.fullmatch(collation):
        raise ValueError(f"{collation!r} is not a valid name of a collation.")
    _check_strings((_argument(expr, 0, "expression"),), _check_column)


def _check_column(name: str) -> None:
    if name != "*":
        _check_ordering(name)


def _check_field(expr: Expr) -> None:
    if expr.args:
        raise ValueError(f"{expr.name} as an output field takes keywords only.")
    for keyword, value in expr.kwargs.items():
        if keyword not in OUTPUT_FIELDS[expr.name] or not _FIELD_VALUES.get(keyword, _is_size)(value):
            raise ValueError(f"{expr.name} as an output field does not take {keyword}={value!r}.")


def _is_size(value: Any) -> bool:
    return isinstance(value, int | None)


#: Checks of the values of an output field's keywords; `_is_size` checks all other keywords.
_FIELD_VALUES: dict[str, Callable[[Any], bool]] = {
    "base_field": lambda value: isinstance(value, Expr) and value.name in OUTPUT_FIELDS,
    "db_collation": lambda value: isinstance(value, str) and _COLLATION.fullmatch(value) is not None,
    "protocol": lambda value: value in ("both", "IPv4", "IPv6", "ipv4", "ipv6"),
    "unpack_ipv4": lambda value: isinstance(value, bool),
}


def _argument(expr: Expr, position: int, keyword: str, default: Any = None) -> Any:
    return expr.args[position] if len(expr.args) > position else expr.kwargs.get(keyword, default)


def _check_combined(expr: Expr) -> None:
    _one_of(_argument(expr, 1, "connector"), CONNECTORS, "an operator between expressions")


def _check_name(expr: Expr) -> None:
    name = _argument(expr, 0, "name")
    if not (expr.name == "OuterRef" and isinstance(name, Expr) and name.name == "OuterRef"):
        check_path(name)


def _check_extract(expr: Expr) -> None:
    _check_strings((_argument(expr, 0, "expression"),), check_path)
    _one_of(_argument(expr, 1, "lookup_name"), DATE_PARTS, "a part of a date")


def _check_trunc(expr: Expr) -> None:
    _check_strings((_argument(expr, 0, "expression"),), check_path)
    _one_of(_argument(expr, 1, "kind"), DATE_PARTS, "a part of a date")


def _check_query(expr: Expr) -> None:
    if not isinstance(_argument(expr, 0, "queryset"), Node):
        raise ValueError(f"{expr.name} takes a query.")


def _check_prefetch(expr: Expr) -> None:
    check_path(_argument(expr, 0, "lookup"))
    to_attr = _argument(expr, 2, "to_attr")
    if to_attr is not None:
        check_identifier(to_attr)


def _check_filtered_relation(expr: Expr) -> None:
    check_path(_argument(expr, 0, "relation_name"))
    if not isinstance(_argument(expr, 1, "condition", Condition(())), Condition):
        raise ValueError("The condition of a FilteredRelation is a condition.")


def _check_frame(expr: Expr) -> None:
    for position, keyword in enumerate(("start", "end")):
        bound = _argument(expr, position, keyword)
        if bound is not None and type(bound) is not int:
            sign = {"RowRange": "an", "ValueRange": "a negative" if keyword == "start" else "a positive"}[expr.name]
            raise ValueError(f"{keyword} argument must be {sign} integer, zero, or None, but got {bound!r}.")
    exclusion = _argument(expr, 2, "exclusion")
    if exclusion is not None:
        _one_of(exclusion, _EXCLUSIONS, "an exclusion of a window's frame")


def _check_part_keyword(expr: Expr) -> None:
    part = expr.kwargs.get("lookup_name")
    if part is not None:
        _one_of(part, DATE_PARTS, "a part of a date")


def _check_key(expr: Expr) -> None:
    if not isinstance(_argument(expr, 0, "key"), str | int):
        raise ValueError(f"{expr.name} takes a key.")


_EXPRESSION_CHECKS: dict[str, Callable[[Expr], None]] = {
    **postgres.CHECKS,
    "F": _check_name,
    "OuterRef": _check_name,
    "CombinedExpression": _check_combined,
    "Extract": _check_extract,
    "Trunc": _check_trunc,
    "Subquery": _check_query,
    "Exists": _check_query,
    "Prefetch": _check_prefetch,
    "FilteredRelation": _check_filtered_relation,
    "RowRange": _check_frame,
    "ValueRange": _check_frame,
    "Collate": _check_collation,
    "KT": _check_key,
    "KeyTransform": _check_key,
    "KeyTextTransform": _check_key,
    **{name: _check_part_keyword for name in EXPRESSIONS if name.startswith("Extract") and name != "Extract"},
}
