"""Conversion of the rows of a test to the forms in which a service sends rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import connections
from django.db.models import JSONField, Model

from django_rpc.graph.values import Record, RowSet, Table, freeze
from django_rpc.models.content_types import is_content_type, sent_key
from django_rpc.models.instances import loaded_names
from django_rpc.models.options import options_of

__all__ = ["as_record", "as_table", "column_value", "row_set"]


def row_set(columns: tuple[str, ...], rows: list[Any], using: str) -> RowSet:
    """Return ``rows`` with the columns of a query."""
    return RowSet(columns, [tuple([column_value(row, name, columns, using) for name in columns]) for row in rows])


def column_value(row: Any, name: str, columns: tuple[str, ...], using: str) -> Any:
    """Return the value of one column as the service's database stores it; raises LookupError for a row without it."""
    if isinstance(row, Model):
        return _of_instance(row, name.split("__"), using)
    if isinstance(row, Mapping):
        if name not in row:
            raise LookupError(f"The row {row!r} has no {name!r}; the query brings the columns {', '.join(columns)}.")
        return freeze(row[name])
    if isinstance(row, list | tuple):
        if len(row) != len(columns):
            raise LookupError(
                f"The row {row!r} has {len(row)} values; the query brings the columns {', '.join(columns)}."
            )
        return freeze(row[columns.index(name)])
    if len(columns) == 1:  # of values_list(..., flat=True)
        return freeze(row)
    raise LookupError(f"{row!r} is no row: give instances, dicts, or tuples of {', '.join(columns)}.")


def _of_instance(instance: Any, way: list[str], using: str) -> Any:
    name, *rest = way
    name = instance._meta.pk.attname if name == "pk" else name
    if rest:
        related = getattr(instance, name)
        return None if related is None else _of_instance(related, rest, using)
    try:
        field: Any = next(f for f in instance._meta.concrete_fields if name in (f.name, f.attname))
    except StopIteration:
        if not hasattr(instance, name):
            raise LookupError(
                f"{instance!r} has no {name!r}, which the query brings: set it as an attribute."
            ) from None
        return freeze(getattr(instance, name))
    return _stored(field, getattr(instance, field.attname), using)


def _stored(field: Any, value: Any, using: str) -> Any:
    if is_content_type(field):
        return sent_key(value)
    if isinstance(field, JSONField):
        return None if value is None else json.dumps(value, cls=field.encoder)
    return freeze(field.get_db_prep_value(value, connections[using]))


def as_record(instance: Any, using: str) -> Record:
    """Return one instance, with the attributes that its mirror loads."""
    model: Any = type(instance)
    options = options_of(model)
    if options is None:
        raise TypeError(f"{instance!r} is no instance of a mirror.")
    names = tuple(name for name in loaded_names(model) if name in instance.__dict__)
    return Record(options.label, names, tuple([_attribute(instance, name, using) for name in names]))


def _attribute(instance: Any, name: str, using: str) -> Any:
    try:
        field = instance._meta.get_field(name)
    except FieldDoesNotExist:
        return freeze(getattr(instance, name))
    value = getattr(instance, field.attname)
    if isinstance(field, JSONField):  # the values of an instance are values of the field, not texts
        return freeze(value)
    return _stored(field, value, using)


def as_table(rows: list[Any], using: str) -> Any:
    """Return the value of a complete query in a graph."""
    records = [as_record(row, using) if isinstance(row, Model) else freeze(row) for row in rows]
    headers = {(item.model, item.fields) for item in records if isinstance(item, Record)}
    if len(headers) == 1 and all(isinstance(item, Record) for item in records):
        ((model, fields),) = headers
        return Table(model, fields, [item.values for item in records])
    return records
