"""Checks of values in an answer.

A service is not trusted with the client's objects. It may set the values of a mirror's fields, rows in the place of
related rows, and further values under names that the class of the mirror does not use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import getattr_static, isfunction
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Field, JSONField, Model

from django_rpc.backend.django_compat import selects_columns
from django_rpc.errors import BadResponse
from django_rpc.graph.nodes import Method, Node
from django_rpc.graph.values import ATOMS, Record
from django_rpc.models.options import options_of

__all__ = [
    "annotated_names",
    "changed_values",
    "check_deleted",
    "check_found_or_made",
    "check_free_name",
    "check_keys",
    "check_related",
    "reader",
]

_ABSENT: Any = object()


def annotated_names(nodes: Iterable[Node]) -> frozenset[str]:
    """Return the names that ``nodes`` annotate; Django lets annotations replace methods of the user's class."""
    return frozenset(
        [name for node in nodes if type(node) is Method and node.name == "annotate" for name in node.kwargs]
    )


def check_free_name(model: type[Model], name: str, annotated: frozenset[str]) -> None:
    """Raise BadResponse unless a value may become the attribute ``name`` of an instance of ``model``."""
    if name.isidentifier() and not name.startswith("_"):
        current = getattr_static(model, name, _ABSENT)
        if current is _ABSENT:
            return
        if name in annotated and isfunction(current) and getattr_static(Model, name, _ABSENT) is _ABSENT:
            return
    raise BadResponse(
        f"The answer of the service has a value for {name!r}, which is no field of {model.__name__} that can be set."
    )


def check_related(model: type[Model], name: str, related: Any, values: Iterable[Any]) -> None:
    """Raise BadResponse unless each of ``values`` is an instance of ``related``, or of another mirror of its model."""
    for value in values:
        if not _is_mirror_of(value, related):
            kind = value.model if isinstance(value, Record) else type(value).__name__
            raise BadResponse(
                f"The answer of the service has an instance of {kind} for {model.__name__}.{name}, "
                f"which leads to {related.__name__}."
            )


def check_keys(instance: Model, relation: Any, parent: Model) -> None:
    """Raise BadResponse unless ``parent`` has the key that ``relation`` of ``instance`` holds."""
    for source, target in relation.related_fields if relation.concrete else relation.field.related_fields:
        pair = (instance, parent) if relation.concrete else (parent, instance)
        values = [row.__dict__.get(field.attname, _ABSENT) for row, field in zip(pair, (source, target), strict=True)]
        if _ABSENT in values or values[0] != values[1]:
            raise BadResponse(
                f"The answer of the service has a {type(parent).__name__} with another key than that of "
                f"{type(instance).__name__}.{relation.name}."
            )


def _is_mirror_of(value: Any, model: type[Model]) -> bool:
    """Return True for an instance of ``model``, of its proxies, or of another mirror of the service's model."""
    if isinstance(value, model):
        return True
    if not isinstance(value, Model):
        return False
    if value._meta.concrete_model is model._meta.concrete_model:
        return True  # a proxy
    options, expected = options_of(type(value)), options_of(model)
    return options is not None and expected is not None and options.label.lower() == expected.label.lower()


def changed_values(instance: Model, answer: Any) -> dict[str, Any]:
    """Return the values by attribute in the answer to a save; only those of fields are used."""
    if type(answer) is tuple and len(answer) == 2 and type(answer[0]) is bool and type(answer[1]) is dict:
        return answer[1]
    raise BadResponse(f"The answer of the service to the save of a {type(instance).__name__} cannot be read.")


def check_found_or_made(queryset: Any, answer: Any) -> tuple[Any, bool]:
    """Return the answer to ``get_or_create()``; raise BadResponse unless it has a row of the model and a bool."""
    if type(answer) is tuple and len(answer) == 2 and type(answer[1]) is bool:
        is_plain_row = selects_columns(queryset) and not isinstance(answer[0], Model | Record)
        if is_plain_row or _is_mirror_of(answer[0], queryset.model):
            return answer
    raise BadResponse(f"The answer of the service is no {queryset.model.__name__} that it found or created.")


def check_deleted(answer: Any) -> tuple[int, dict[str, int]]:
    """Return the answer to ``delete()``; raise BadResponse unless it has numbers of rows."""
    if len(answer) == 2 and type(answer[1]) is dict:
        count, by_label = answer
        if all(type(label) is str for label in by_label) and all(type(n) is int for n in (count, *by_label.values())):
            return count, by_label
    raise BadResponse("The answer of the service to delete() has no numbers of deleted rows.")


def reader(field: Field, convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return ``convert`` with BadResponse for a value of a type that ``field`` cannot hold."""
    any_type = isinstance(field, JSONField) or not type(field).__module__.startswith("django.db.models.fields")

    def read(value: Any) -> Any:
        cause: Exception | None = None
        if type(value) in ATOMS or any_type:
            try:
                return convert(value)
            except (ValidationError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
                cause = error
        raise BadResponse(
            f"The answer of the service has a {type(value).__name__} for {field.model.__name__}.{field.name}, "
            f"which is a {type(field).__name__} and cannot hold it."
        ) from cause

    return read
