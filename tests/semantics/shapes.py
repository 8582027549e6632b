"""Fields and relations of the models that programs use, by their kinds, and values for each kind."""

from __future__ import annotations

import functools
from random import Random
from typing import Any

from django.db import models

__all__ = ["MODELS", "WRITTEN", "literal", "many_relations", "paths", "relations"]

#: The models of programs, by the names of both sides.
MODELS = (
    "Customer", "Order", "Line", "Product", "Category", "Tag", "Profile", "Place", "Restaurant", "OpenPlace", "Person",
    "ColumnNames", "Seat", "Booking", "Currency", "Price", "NoteOnKey", "NaturalKey",
)  # fmt: skip
#: The tables that are compared after writes.
WRITTEN = (
    "Customer", "Profile", "Category", "Tag", "Product", "Order", "Line", "AuditEntry", "Place", "Restaurant", "Person",
    "ColumnNames", "Seat", "Booking", "Currency", "Price", "NoteOnKey", "NaturalKey",
)  # fmt: skip

_KINDS = (
    (models.ForeignKey, "key"),
    (models.AutoField, "int"),
    (models.IntegerField, "int"),
    (models.DecimalField, "decimal"),
    (models.FloatField, "float"),
    (models.BooleanField, "bool"),
    (models.DateTimeField, "datetime"),
    (models.DateField, "date"),
    (models.JSONField, "json"),
    (models.CharField, "text"),
    (models.TextField, "text"),
)
_VALUES = {
    "int": ("0", "1", "2", "3", "5", "7", "12", "-1", "None"),
    "key": ("1", "2", "3", "5", "99", "None"),
    "decimal": ("Decimal('0')", "Decimal('9.99')", "Decimal('120.50')", "100", "250.5", "Decimal('-1')", "None"),
    "float": ("0.0", "1.5", "2", "3.25", "None"),
    "bool": ("True", "False", "None"),
    "text": (
        "'new'", "'paid'", "'Oslo'", "'a'", "'B'", "''", "'vip'", "'A-3'", "'Name 2'", "'é'", "'%'", "'name_1'", "None",
    ),
    "date": ("date(2024, 3, 10)", "date(2024, 12, 31)", "date(2025, 1, 1)", "'2024-03-09'"),
    "datetime": (
        "datetime(2024, 3, 10, 2, 30, tzinfo=UTC)",
        "datetime(2024, 10, 27, 0, 30, tzinfo=UTC)",
        "datetime(2024, 3, 10)",
        "datetime(2025, 1, 1, 5, 30)",
        "date(2024, 3, 10)",
        "'2024-12-31 23:59'",
    ),
    "json": ("{'color': 'red'}", "'red'", "[1, 2]", "1", "None", "{}"),
}  # fmt: skip


def literal(random: Random, kind: str) -> str:
    """Return the Python text of a value of a kind."""
    return random.choice(_VALUES.get(kind, _VALUES["int"]))


@functools.cache
def _model(name: str) -> Any:
    from django_rpc.demo.client.shop import models as shop
    from django_rpc.demo.client.zoo import models as zoo

    return getattr(shop, name, None) or getattr(zoo, name)


@functools.cache
def paths(name: str, depth: int = 1) -> tuple[tuple[str, str], ...]:
    """Return ``(path, kind)`` for the fields of a model and of its relations up to a depth."""
    return tuple(_paths(_model(name), depth))


def _paths(model: Any, depth: int) -> list[tuple[str, str]]:
    paths = []
    for field in model._meta.get_fields():
        if field.is_relation:
            if field.concrete and not field.many_to_many:
                paths.append((field.attname, "key"))
            if depth and field.related_model is not None:
                inner = _paths(field.related_model, depth - 1)
                paths += [(f"{_query_name(field)}__{path}", kind) for path, kind in inner]
        else:
            kinds = [kind for cls, kind in _KINDS if isinstance(field, cls)]
            if kinds:
                paths.append((field.name, kinds[0]))
    return paths


def _query_name(field: Any) -> str:
    return str(
        field.name
        if field.concrete
        else field.related_query_name()
        if callable(getattr(field, "related_query_name", None))
        else field.name
    )


@functools.cache
def relations(name: str) -> tuple[tuple[str, str], ...]:
    """Return ``(name, model)`` for the relations of a model that lead to a single row."""
    fields = [f for f in _model(name)._meta.get_fields() if f.is_relation and (f.many_to_one or f.one_to_one)]
    return tuple((f.name, f.related_model.__name__) for f in fields if f.related_model.__name__ in MODELS)


@functools.cache
def many_relations(name: str) -> tuple[tuple[str, str, str], ...]:
    """Return ``(attribute, lookup, model)`` for the relations of a model that lead to many rows."""
    fields = [f for f in _model(name)._meta.get_fields() if f.is_relation and (f.one_to_many or f.many_to_many)]
    return tuple(
        (f.name if f.concrete else f.get_accessor_name(), _query_name(f), f.related_model.__name__)
        for f in fields
        if f.related_model.__name__ in MODELS
    )
