"""Find in the error of a database driver the constraint that does not hold, and its fields.

PostgreSQL reports names in the diagnosis of the error; MariaDB, MySQL and SQLite in its text. Names of tables, columns
and constraints are compared with those of the models. Values in an error are never read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.apps import apps
from django.db import router
from django.db.models import CheckConstraint, F, Model, Q, UniqueConstraint

from django_rpc.server.django_compat import check_condition, key_fields, unique_index_name

__all__ = ["Constraint", "find_constraint"]

_SQLSTATES = {
    "23505": "unique", "23514": "check", "23502": "not null", "23503": "foreign key", "23P01": "exclusion",
    "22001": "length", "22003": "range",
}  # fmt: skip
#: Numbers of MySQL and MariaDB, with the pattern of the names in the text.
_NUMBERS = {
    1062: ("unique", r".* for key '(?:(?P<table>[^'.]+)\.)?(?P<name>[^']+)'"),
    1169: ("unique", None),
    1048: ("not null", r"Column '(?P<columns>[^']+)' cannot be null"),
    1364: ("not null", r"Field '(?P<columns>[^']+)' doesn't have a default value"),
    1216: ("foreign key", None),
    1217: ("foreign key", None),
    1451: ("foreign key", r".*?\(`[^`]+`\.`(?P<table>[^`]+)`, CONSTRAINT `[^`]+` FOREIGN KEY \((?P<columns>[^)]+)\).*"),
    1452: ("foreign key", r".*?\(`[^`]+`\.`(?P<table>[^`]+)`, CONSTRAINT `[^`]+` FOREIGN KEY \((?P<columns>[^)]+)\).*"),
    3819: ("check", r"Check constraint '(?P<name>[^']+)' is violated\."),
    4025: ("check", r"CONSTRAINT `(?:[^`]+\.)?(?P<name>[^`.]+)` failed for `[^`]+`\.`(?P<table>[^`]+)`"),
    1406: ("length", r"Data too long for column '(?P<columns>[^']+)' at row \d+"),
    1264: ("range", r"Out of range value for column '(?P<columns>[^']+)' at row \d+"),
}
_SQLITE = (
    ("unique", r"UNIQUE constraint failed: index '(?P<name>.+)'"),
    ("unique", r"UNIQUE constraint failed: (?P<columns>.+)"),
    ("not null", r"NOT NULL constraint failed: (?P<columns>.+)"),
    ("check", r'CHECK constraint failed: "(?P<columns>\w+)" .*'),
    ("check", r"CHECK constraint failed: (?P<name>\w+)"),
    ("foreign key", r"FOREIGN KEY constraint failed"),
    # Text of Django, which checks constraints at the end of a test.
    ("foreign key", r"The row in table '[^']+' with primary key .* has an invalid foreign key: "
                    r"(?P<columns>\w+\.\w+) contains a value .*"),
)  # fmt: skip
#: Columns in the detail of PostgreSQL, in all languages: ``Key (a, b)=(1, 2) already exists.``
_KEY = re.compile(r"[^()]*\(([^()]+)\)=\(")


class Constraint(NamedTuple):
    """Constraint that does not hold: its kind ("" if unknown), its model and the names of its fields, if known."""

    kind: str
    model: type[Model] | None = None
    names: list[str] = []


class _Reported(NamedTuple):
    """Names in an error: table, columns, constraint."""

    kind: str = ""
    table: str = ""
    columns: tuple[str, ...] = ()
    name: str = ""


def find_constraint(error: BaseException, models: Iterable[type[Model]]) -> Constraint:
    """Return the constraint that ``error`` reports; ``models`` are searched if the error names no table."""
    reported = _reported(error)
    if not reported.kind:
        return Constraint("")
    if reported.table:
        models = [
            model
            for model in apps.get_models(include_auto_created=True)
            if model._meta.db_table == reported.table and not model._meta.proxy
        ]
    candidates = []
    for model in dict.fromkeys(model._meta.concrete_model or model for model in models):
        names = _fields(model, reported) if reported.columns else _fields_of_name(model, reported.name)
        if names:
            candidates.append(Constraint(reported.kind, model, names))
    return candidates[0] if len(candidates) == 1 else Constraint(reported.kind)


def _reported(error: BaseException) -> _Reported:
    cause = error.__cause__ or error
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    is_mysql = len(cause.args) == 2 and type(cause.args[0]) is int
    if state is not None and not is_mysql:  # PyMySQL has a state, too
        return _of_postgresql(str(state), getattr(cause, "diag", None))
    if is_mysql:
        kind, pattern = _NUMBERS.get(cause.args[0], ("", None))
        patterns: Iterable[tuple[str, str]] = [(kind, pattern)] if pattern else []
    else:
        kind, patterns = "", _SQLITE
    for of_pattern, pattern in patterns:
        match = re.fullmatch(pattern, str(cause.args[-1]) if cause.args else "", re.DOTALL)
        if match is not None:
            return _of_text(of_pattern, match.groupdict())
    return _Reported(kind)


def _of_postgresql(state: str, diagnosis: Any) -> _Reported:
    column = getattr(diagnosis, "column_name", None)
    key = _KEY.match(getattr(diagnosis, "message_detail", None) or "")
    columns = [column] if column else key[1].split(", ") if key else []
    return _Reported(
        _SQLSTATES.get(state, ""),
        getattr(diagnosis, "table_name", None) or "",
        tuple(name.strip('"') for name in columns),
        getattr(diagnosis, "constraint_name", None) or "",
    )


def _of_text(kind: str, names: dict[str, str | None]) -> _Reported:
    columns = [name.strip('`" ') for name in (names.get("columns") or "").split(",") if name.strip()]
    table = names.get("table") or ""
    if columns and all("." in name for name in columns):  # SQLite: with the table
        table = columns[0].rpartition(".")[0]
        columns = [name.rpartition(".")[2] for name in columns]
    return _Reported(kind, table, tuple(columns), names.get("name") or "")


def _fields(model: type[Model], reported: _Reported) -> list[str]:
    """Return the names of the fields of the columns; empty if a column has no field, or is no foreign key."""
    fields = {field.column: field for field in model._meta.local_concrete_fields}
    matches = [fields.get(column) for column in reported.columns]
    if None in matches or (reported.kind == "foreign key" and not all(field.is_relation for field in matches if field)):
        return _fields_of_name(model, reported.name)
    return [field.name for field in matches if field is not None]


def _fields_of_name(model: type[Model], name: str) -> list[str]:
    """Return the names of the fields of the constraint or index ``name``; empty if the model does not have it."""
    if not name:
        return []
    opts = model._meta
    if name in ("PRIMARY", f"{opts.db_table}_pkey"):
        return [field.name for field in key_fields(model)]
    for constraint in opts.constraints:
        if constraint.name == name:
            return _fields_of_constraint(constraint)
    for field in opts.local_concrete_fields:
        column = field.column
        if name in (
            column,
            f"{opts.db_table}.{column}",
            *(f"{opts.db_table}_{column}_{kind}" for kind in ("check", "key")),
        ):
            return [field.name]
    alias = router.db_for_write(model)
    for names in (*opts.unique_together, *([field.name] for field in opts.local_concrete_fields if field.unique)):
        columns = [opts.get_field(field_name).column for field_name in names]
        if name == unique_index_name(alias, opts.db_table, columns):
            return list(names)
    return []


def _fields_of_constraint(constraint: Any) -> list[str]:
    if isinstance(constraint, UniqueConstraint):
        return list(constraint.fields) or sorted(_names_in(constraint.expressions))
    if isinstance(constraint, CheckConstraint):
        return sorted(_names_in(check_condition(constraint)))
    return sorted(_names_in(expression for expression, _ in getattr(constraint, "expressions", ())))


def _names_in(value: Any) -> set[str]:
    """Return the names of fields in a condition or expression."""
    if isinstance(value, F):
        return {value.name.partition("__")[0]}
    if isinstance(value, str):
        return {value.partition("__")[0]}
    if isinstance(value, Q):
        lookups = [child[0] for child in value.children if isinstance(child, tuple)]
        operands = [child[1] if isinstance(child, tuple) else child for child in value.children]
        values = [item for item in operands if not isinstance(item, str)]
        return {name for item in (*lookups, *values) for name in _names_in(item)}
    if hasattr(value, "get_source_expressions"):
        return {name for item in value.get_source_expressions() for name in _names_in(item)}
    if isinstance(value, list | tuple) or hasattr(value, "__next__"):
        return {name for item in value for name in _names_in(item)}
    return set()
