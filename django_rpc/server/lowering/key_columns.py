"""Columns that separate the rows of many lookups, and the values of these columns as the database returns them."""

from __future__ import annotations

import sqlite3
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connections, models, router
from django.db.models import Model

from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.server.evaluate.relations import Relation
from django_rpc.server.lowering.physical_read import NotPossible
from django_rpc.server.policy.client_policy import Use
from django_rpc.server.policy.references import is_instance

__all__ = ["KeyColumn", "column_key", "is_loose", "lookup_key", "max_values", "relation_key"]

#: The maximum of keys in one statement, and a reserve for the values in the client's query.
_CHUNK, _OTHERS = 5_000, 500


#: Fields with values that are equal in Python if and only if they are equal in SQL.
_EXACT = (
    models.AutoField,
    models.IntegerField,
    models.UUIDField,
    models.CharField,
    models.TextField,
    models.DateField,
    models.BooleanField,
)
_TEXT = (models.CharField, models.TextField)
#: Databases that ignore case, accents or trailing blanks when they compare texts.
_LOOSE = frozenset({"mysql", "oracle"})


class KeyColumn:
    """Column at the end of ``path``, which separates the rows of many reads.

    - ``column``: attribute of an instance of the query's model with the value; None for a column of a joined table.
    - ``is_unique``: True if a value has at most one row of the query's model.
    - ``related`` and ``attname``: an instance of this model may be given in place of its attribute ``attname``.
    """

    __slots__ = ("attname", "column", "field", "is_unique", "path", "related")

    def __init__(
        self,
        path: str,
        field: Any,
        related: type[Model] | None,
        attname: str,
        *,
        column: str | None = None,
        is_unique: bool = False,
    ) -> None:
        self.column = column
        self.path = path
        self.field = field
        self.related = related
        self.attname = attname
        self.is_unique = is_unique

    def of(self, ev: Evaluator, value: Any) -> Any:
        """Return ``value`` as the column holds it; None for a value that needs a separate statement, like null."""
        if is_instance(value):
            if self.related is None or not issubclass(ev.references.model(value), self.related._meta.concrete_model):
                return None
            value = next(iter(ev.references.targets([value], self.related._meta.get_field(self.attname))), None)
        if value is None or isinstance(value, list | tuple | dict | set) or hasattr(value, "resolve_expression"):
            return None
        try:
            converted = self.field.to_python(value)
        except (ValidationError, ValueError, TypeError, OverflowError):
            return None
        if isinstance(converted, int) and not -(2**63) <= converted < 2**63:
            return None
        return converted

    def narrowed(self, queryset: Any, values: list[Any]) -> Any:
        return queryset.filter(**{f"{self.path}__in": values})


def max_values(using: str) -> int:
    """Return the number of values that one statement on this database may have."""
    connection = connections[using]
    connection.ensure_connection()
    sqlite_limit = getattr(
        connection.connection, "getlimit", None
    )  # SQLite; its features name the limit of old releases
    if sqlite_limit is not None:
        return min(_CHUNK, sqlite_limit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) - _OTHERS)
    return min(_CHUNK, connection.features.max_query_params or _CHUNK)


def lookup_key(ev: Evaluator, model: type[Model], lookup: str) -> KeyColumn:
    """Return the key of ``lookup=value`` on ``model``; raises NotPossible if there is none."""
    names = lookup.split("__")
    if names[-1] == "exact":
        names.pop()
    opts: Any = model._meta
    if not names or ev.policy.blocked(names, opts, use=Use.ANY) is not None:
        raise NotPossible(f"{lookup} is no field")
    field: Any = None
    for name in names:
        if opts is None:
            raise NotPossible(f"{lookup} is a transform, or the field of a value")
        try:
            field = opts.pk if name == "pk" else opts.get_field(name)
        except Exception:  # noqa: BLE001 - FieldDoesNotExist: an annotation, or attname of a foreign key
            raise NotPossible(f"{lookup} is no column") from None
        if not field.concrete or field.many_to_many:
            raise NotPossible(f"{lookup} leads to many rows")
        opts = field.related_model._meta if field.is_relation else None
    return column_key(model, "__".join(names), field)


def relation_key(relation: Relation) -> KeyColumn:
    """Return the key of the rows of a to-many relation; raises NotPossible if the relation has no such key."""
    field = relation.field
    if relation.is_generic:
        raise NotPossible("a generic relation")
    if relation.prefetched is not None:
        raise NotPossible("a relation that was prefetched by a query")
    if field.one_to_many:
        foreign = field.remote_field
        if len(foreign.foreign_related_fields) != 1:
            raise NotPossible("a foreign key of several columns")
        return column_key(relation.model, foreign.name, foreign)
    manager = relation.manager
    targets = manager.source_field.foreign_related_fields
    owner = targets[0].model
    if len(targets) != 1 or not targets[0].primary_key:
        raise NotPossible("a relation by another column than the primary key")
    key = column_key(owner, manager.query_field_name, targets[0])
    return KeyColumn(key.path, key.field, owner, targets[0].attname)


def column_key(model: type[Model], path: str, field: Any) -> KeyColumn:
    """Return the key of a column; raises NotPossible if equality of its values differs between Python and SQL."""
    related, attname = None, ""
    target = field
    while target.is_relation:
        related, target = target.related_model, target.target_field
        attname = target.attname
    kind = type(target)
    if not isinstance(target, _EXACT) or isinstance(target, models.DateTimeField) or not _is_plain(kind):
        raise NotPossible(f"{path} is a {kind.__name__}, and equality of its values differs between Python and SQL")
    if is_loose(model, target):
        raise NotPossible("this database finds different texts equal")
    if "__" in path:
        return KeyColumn(path, target, related, attname)
    return KeyColumn(path, target, related, attname, column=field.attname, is_unique=bool(field.unique))


def is_loose(model: type[Model], field: Any) -> bool:
    """Return True if the database may find different texts of this column equal, by its collation."""
    while field.is_relation:
        field = field.target_field
    return isinstance(field, _TEXT) and connections[router.db_for_read(model)].vendor in _LOOSE


def _is_plain(kind: type[models.Field]) -> bool:
    """Return True if ``to_python`` makes the values that the database returns; fields of a project may differ."""
    return kind.__module__.startswith("django.db.models") and not hasattr(kind, "from_db_value")
