"""The columns by which the rows of many lookups can be told apart, and their values as the database gives them."""

from __future__ import annotations

import sqlite3
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connections, models, router
from django.db.models import Model

from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.server.policy import Use
from django_rpc.server.references import is_instance

__all__ = ["Key", "NoKey", "key_of", "made", "room"]

#: Keys in one statement, at most, and room for the values that the client wrote into it itself.
_CHUNK, _OTHERS = 5_000, 500


class NoKey(Exception):
    """The rows of one value cannot be told from those of another; the text says why."""


#: Fields whose values are equal in Python just where they are in SQL.
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
#: Databases whose text is equal without regard to case, accents or blanks at the end.
_LOOSE = frozenset({"mysql", "oracle"})


class Key:
    """The column at the end of ``path``.

    ``column`` is its name among the instance's own attributes, None for a column that is joined.  ``is_unique``: at
    most one row of the query's model has a value.  ``related`` and ``attname``: an instance of that model stands for
    its value of that attribute.
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
        """``value`` as the column holds it; None for what has to be asked by itself: null, or a value of no use."""
        if is_instance(value):
            if self.related is None or not issubclass(ev.references.model(value), self.related._meta.concrete_model):
                return None
            value = next(iter(ev.references.targets([value], self.related._meta.get_field(self.attname))), None)
        if value is None or isinstance(value, list | tuple | dict | set) or hasattr(value, "resolve_expression"):
            return None
        try:
            found = self.field.to_python(value)
        except (ValidationError, ValueError, TypeError, OverflowError):
            return None
        if isinstance(found, int) and not -(2**63) <= found < 2**63:
            return None
        return found

    def narrowed(self, queryset: Any, values: list[Any]) -> Any:
        return queryset.filter(**{f"{self.path}__in": values})


def room(using: str) -> int:
    """How many values one statement on this database may hold."""
    connection = connections[using]
    connection.ensure_connection()
    own_limit = getattr(connection.connection, "getlimit", None)  # of SQLite, whose features name its oldest limit
    if own_limit is not None:
        return min(_CHUNK, own_limit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) - _OTHERS)
    return min(_CHUNK, connection.features.max_query_params or _CHUNK)


def key_of(ev: Evaluator, model: type[Model], lookup: str) -> Key:
    """The key of ``lookup=value`` on ``model``; raises NoKey where there is none."""
    names = lookup.split("__")
    if names[-1] == "exact":
        names.pop()
    opts: Any = model._meta
    if not names or ev.policy.blocked(names, opts, use=Use.ANY) is not None:
        raise NoKey(f"{lookup} is no field")
    field: Any = None
    for name in names:
        if opts is None:
            raise NoKey(f"{lookup} is a transform, or the field of a value")
        try:
            field = opts.pk if name == "pk" else opts.get_field(name)
        except Exception:  # noqa: BLE001 - FieldDoesNotExist: an annotation, or attname of a foreign key
            raise NoKey(f"{lookup} is no column") from None
        if not field.concrete or field.many_to_many:
            raise NoKey(f"{lookup} leads to many rows")
        opts = field.related_model._meta if field.is_relation else None
    return made(model, "__".join(names), field)


def made(model: type[Model], path: str, field: Any) -> Key:
    """The key of a column; raises NoKey for a type whose values are not equal in Python just where they are in SQL."""
    related, attname = None, ""
    target = field
    while target.is_relation:
        related, target = target.related_model, target.target_field
        attname = target.attname
    kind = type(target)
    if not isinstance(target, _EXACT) or isinstance(target, models.DateTimeField) or not _is_plain(kind):
        raise NoKey(f"{path} is a {kind.__name__}, whose values cannot be told apart here")
    if isinstance(target, _TEXT) and connections[router.db_for_read(model)].vendor in _LOOSE:
        raise NoKey("this database does not tell all texts apart")
    if "__" in path:
        return Key(path, target, related, attname)
    return Key(path, target, related, attname, column=field.attname, is_unique=bool(field.unique))


def _is_plain(kind: type[models.Field]) -> bool:
    """Whether values come from the database as ``to_python`` makes them: a field of the project's own may differ."""
    return kind.__module__.startswith("django.db.models") and not hasattr(kind, "from_db_value")
