"""Field classes of the client, which convert a value on its way to the database and back.

The service does not have these classes. The client sends the value that the field would store, and converts received
values to values of the field. Rows pass Django's converters; instances and values of writes pass `loaded_value`.
"""

from __future__ import annotations

import datetime
import functools
import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import connections
from django.db.models import DateField, DateTimeField, JSONField, Model, Q, QuerySet
from django.db.models.expressions import BaseExpression, Combinable
from django.db.models.fields import Field

from django_rpc.backend.django_compat import new_q
from django_rpc.models.content_types import is_content_type, local_key, sent_key
from django_rpc.models.options import leads_away, options_of
from django_rpc.models.reply_checks import reader

__all__ = [
    "loaded_value",
    "loader",
    "makes_values",
    "note_own_fields",
    "prepared_by",
    "prepared_lookups",
    "prepares_lookups",
    "stored_value",
    "text_of",
    "writes_own_sql",
]

#: Lookups with one value of the field. Below: lookups with several values, which Django prepares separately.
_SINGLE = frozenset({"exact", "gt", "gte", "lt", "lte"})
_MANY = frozenset({"in", "range"})
#: Methods of an output field that Django calls to make the SQL of an expression.
_SQL_METHODS = ("db_type", "cast_db_type", "db_type_parameters", "db_parameters", "select_format", "get_placeholder")
#: Names of such fields. While it is empty, queries skip the preparation of values.
_known: set[str] = set()
#: Foreign keys with a target that may become a class later.
_unsettled: list[Any] = []


@functools.cache
def _class_overrides(cls: Any, name: str) -> bool:
    owner = next((base for base in cls.__mro__ if name in vars(base)), Field)
    return not owner.__module__.startswith("django.")


def _overrides(field: Any, name: str) -> bool:
    """Return True if the class of ``field``, or a base of it outside Django, defines the method ``name``."""
    cls: Any = type(field)
    return _class_overrides(cls, name)


def note_own_fields(model: Any) -> None:
    """Remember the fields of a mirror that send other values than they hold; called for each mirror.

    A foreign key to a model outside of the service is such a field: it sends the key of an instance.
    """
    _known.update(str(f) for f in model._meta.local_fields if _prepares(f))
    _unsettled.extend(f for f in model._meta.local_fields if f.is_relation)


def has_own_fields() -> bool:
    """Return whether a field of a mirror may have to prepare the value of a lookup.

    With ``USE_TZ = False`` these are the fields of dates and datetimes.
    """
    while _unsettled and not isinstance(_unsettled[-1].remote_field.model, str):
        field = _unsettled.pop()
        if leads_away(field):
            _known.add(str(field))
    return bool(_known) or not settings.USE_TZ


def _prepares(field: Field) -> bool:
    return _overrides(field, "get_prep_value") or _overrides(field, "get_db_prep_value")


def writes_own_sql(cls: Any) -> bool:
    """Return whether a field class of the project makes other SQL than the class of Django that it extends."""
    return any(_class_overrides(cls, name) for name in _SQL_METHODS if hasattr(cls, name))


def prepared_by(field: Field, value: Any) -> Any:
    """Return the value of ``Value(value, field)`` as ``field`` sends it to a database."""
    while field.is_relation and field.remote_field:
        field = field.target_field
    if value is None or _is_expression(value):
        return value
    if _overrides(field, "get_db_prep_value"):
        raise TypeError(
            f"Value(..., {type(field).__name__}()) cannot be sent to a service: the field prepares its values for one "
            "database. Pass the prepared value with a field of Django."
        )
    if _overrides(field, "get_prep_value"):
        return field.get_prep_value(value)
    encoder = getattr(field, "encoder", None)
    return json.loads(json.dumps(value, cls=encoder)) if isinstance(field, JSONField) and encoder else value


def makes_values(field: Field) -> bool:
    """Return True if ``field`` is a class of the client that converts stored values."""
    return _overrides(field, "from_db_value")


def loaded_value(field: Field, value: Any, alias: str) -> Any:
    """Return ``value`` of the service's instance as an instance of the mirror holds it."""
    return loader(field, alias)(value)


@functools.lru_cache(maxsize=4096)
def loader(field: Field, alias: str) -> Callable[[Any], Any]:
    """Return the function that makes `loaded_value` of the values of ``field``.

    It is cached, since an answer may have thousands of instances with ten fields each.
    """
    if is_content_type(field):
        return reader(field, lambda value: local_key(value, alias))
    is_own = _overrides(field, "from_db_value")
    if isinstance(field, JSONField):
        if field.decoder is None and not is_own:
            return lambda value: value
        return lambda value: (
            None if value is None else field.from_db_value(json.dumps(value), field, connections[alias])
        )
    if is_own:
        return lambda value: field.from_db_value(value, field, connections[alias])
    return reader(field, field.to_python)


def prepares_lookups(condition: Q) -> bool:
    """Return False if `prepared_lookups` changes nothing, which costs less than to look up the fields."""
    return has_own_fields() or _holds_instance(condition)


def _holds_instance(value: Any) -> bool:
    if isinstance(value, Q):
        return any(_holds_instance(child[1] if isinstance(child, tuple) else child) for child in value.children)
    if isinstance(value, list | tuple | set | frozenset):
        return any(isinstance(item, Model) for item in value)
    return isinstance(value, Model)


def text_of(field: Field, value: Any) -> Any:
    """Return the text of an instance that is stored or compared in the place of a text, as Django does.

    Return other values unchanged. The service refuses an instance of a mirror with the ``__str__`` of Django.
    """
    if isinstance(value, Model) and type(value).__str__ is not Model.__str__:
        return field.get_prep_value(value)
    return value


def prepared_lookups(query: Any, condition: Q) -> Q:
    """Return ``condition`` with values for such fields as the service stores them."""
    children: list[Any] = []
    for child in condition.children:
        if isinstance(child, Q):
            children.append(prepared_lookups(query, child))
        elif isinstance(child, tuple):
            pair = _prepared(query, *child)
            children.append(child if pair[1] is child[1] and pair[0] == child[0] else pair)
        else:
            children.append(child)
    if all(new is old for new, old in zip(children, condition.children, strict=True)):
        return condition
    return new_q(children, condition.connector, condition.negated)


def _prepared(query: Any, path: str, value: Any) -> tuple[str, Any]:
    field_and_lookup = _field_of(query, path)
    if field_and_lookup is None or field_and_lookup[1] == "date":
        return path, value if settings.USE_TZ else _date_of(query, path, value)
    field, lookup = field_and_lookup
    path = _without_others(query, path)
    if is_content_type(field) and not field.is_relation and "__" in path:  # only the name of its key is sent
        path = re.sub(rf"__(pk|{field.name})(__|$)", r"\2", path)
    return path, _prepared_value(field, lookup, value, connections[query.database])


def _prepared_value(field: Field, lookup: str, value: Any, connection: Any) -> Any:
    if lookup in _MANY and not isinstance(value, Iterable):
        return value  # the service refuses it, with Django's error
    if not field.is_relation and _holds_instance(value):
        value = text_of(field, value) if isinstance(value, Model) else [text_of(field, item) for item in value]
    if field.is_relation and lookup == "in" and not _is_expression(value):
        value = [_key_of_other(field, item) for item in value]
    value = _key_of_other(field, value)
    if is_content_type(field) and lookup in ("exact", "in") and not _is_expression(value):
        return [sent_key(item) for item in value] if lookup == "in" else sent_key(value)
    if _is_expression(value):
        return value
    if lookup in _SINGLE:
        return stored_value(field, value, connection)
    if lookup in _MANY:
        return [stored_value(field, item, connection) for item in value]
    return value


def _key_of_other(field: Any, value: Any) -> Any:
    """Return the key of an instance, where the foreign key ``field`` leads to a model outside of the service.

    Return other values unchanged.
    """
    if (
        isinstance(value, Model)
        and field.many_to_one
        and leads_away(field)
        and isinstance(value, field.remote_field.model)
    ):
        return getattr(value, field.target_field.attname)
    return value


def _without_others(query: Any, path: str) -> str:
    """Return ``path`` with the column of a foreign key instead of the key of a target outside of the service.

    Raise FieldError for a longer path: no query can join tables of two databases.
    """
    names, options = path.split("__"), query.get_meta()
    for place, name in enumerate(names):
        try:
            field = options.get_field(name)
        except FieldDoesNotExist:
            return path
        if not field.is_relation or not field.related_model:
            return path
        if field.many_to_one and not is_content_type(field) and leads_away(field):
            rest = names[place + 1 :]
            if rest and rest[0] in ("pk", field.target_field.name, field.target_field.attname):
                rest = rest[1:]
            if _has(field, rest):
                raise FieldError(_cannot_join(field, rest[0]))
            return "__".join([*names[:place], field.attname, *rest])
        options = field.related_model._meta
    return path


def _has(field: Any, names: list[str]) -> bool:
    return bool(names) and any(
        names[0] == related_field.name for related_field in field.remote_field.model._meta.get_fields()
    )


def _cannot_join(field: Any, name: str) -> str:
    other = field.remote_field.model
    options = options_of(other)
    where = "a local table" if options is None else f"at the service {options.database!r}"
    return (
        f"{field.model.__name__}.{field.name} leads to {other.__name__}, which is {where}: no query joins the two. "
        f"Look up its rows: {field.name}__in={other.__name__}.objects.filter({name}=...)"
        + ("." if options is not None else ", as a list of their keys.")
    )


def stored_value(field: Field, value: Any, connection: Any) -> Any:
    """Return ``value`` as the database stores it, if the field is of a class of the project.

    An aware datetime at a client with ``USE_TZ = False`` is also prepared: a `DateField` takes its date, and a
    `DateTimeField` raises ValueError, as with a local database.
    """
    while field.is_relation and field.remote_field and len(field.path_infos[-1].target_fields) == 1:
        field = field.target_field
    if value is None or _is_expression(value):
        return value
    is_datetime = isinstance(field, DateField) and isinstance(value, datetime.datetime) and not settings.USE_TZ
    if not _prepares(field) and not (is_datetime and value.tzinfo is not None):
        return value
    return field.get_db_prep_value(value, connection=connection, prepared=False)


def _date_of(query: Any, path: str, value: Any) -> Any:
    """Return ``value`` for a lookup; for ``__date`` of a `DateTimeField`, return the dates of aware datetimes.

    The service would convert an aware datetime to its own zone. With ``USE_TZ = False``, Django drops the zone.
    """
    lookups, parts, reference = query.solve_lookup_type(path)
    if reference or not lookups or lookups[0] != "date":
        return value
    field = query.names_to_path(parts, query.get_meta(), fail_on_missing=False)[1]
    if not isinstance(field, DateTimeField):
        return value
    items = value if isinstance(value, list | tuple | set | frozenset) else [value]
    dates = [item.date() if isinstance(item, datetime.datetime) and item.tzinfo else item for item in items]
    return dates if items is value else dates[0]


def _is_expression(value: Any) -> bool:
    return isinstance(value, BaseExpression | Combinable | QuerySet | Model) or hasattr(type(value), "__rpc_node__")


def _field_of(query: Any, path: str) -> tuple[Field, str] | None:
    """Return the field that a lookup compares, and the lookup; None for annotations, transforms and wrong names."""
    lookups, parts, reference = query.solve_lookup_type(path)
    if reference or len(lookups) > 1:
        return None
    field = query.names_to_path(parts, query.get_meta(), fail_on_missing=False)[1]
    return (field, lookups[0] if lookups else "exact") if isinstance(field, Field) else None
