"""Description of one field of an exposed model for a client."""

from __future__ import annotations

import datetime
import decimal
import inspect
import types
import typing
import uuid
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db.models import AutoField, Field
from django.utils import timezone

from django_rpc.graph.schema import DELETE_RULES, FIELD_TYPES, ComputedSchema, FieldSchema
from django_rpc.graph.values import ATOMS, freeze
from django_rpc.server.django_compat import NOT_PROVIDED, has_db_default, is_generated
from django_rpc.server.policy.client_policy import Policy
from django_rpc.server.registry.exposure import Exposure

__all__ = ["computed_schema", "field_schema", "is_described"]

CONTENT_TYPE = "contenttypes.ContentType"
_CALLED = {dict: "dict", list: "list", timezone.now: "now", datetime.date.today: "today", uuid.uuid4: "uuid4"}
#: Types of the values in a foreign key to an automatic primary key.
_KEY_TYPES = {"AutoField": "IntegerField", "BigAutoField": "BigIntegerField", "SmallAutoField": "SmallIntegerField"}
_ANNOTATED = {
    bool: "BooleanField",
    int: "IntegerField",
    float: "FloatField",
    str: "TextField",
    bytes: "BinaryField",
    decimal.Decimal: "DecimalField",
    datetime.datetime: "DateTimeField",
    datetime.date: "DateField",
    datetime.time: "TimeField",
    datetime.timedelta: "DurationField",
    uuid.UUID: "UUIDField",
    dict: "JSONField",
    list: "JSONField",
}


def is_described(policy: Policy, exposure: Exposure, field: Any) -> bool:
    """Return True if a mirror can declare ``field``; for a many-to-many or generic relation it needs the other end."""
    if field.many_to_many or (field.one_to_many and not field.auto_created):
        related = field.related_model
        return related is not None and field.name in exposure.usable and policy.view(related) is not None
    if getattr(field, "ct_field", None) and not field.concrete:
        return {field.ct_field, field.fk_field} <= exposure.names
    return True


def field_schema(policy: Policy, exposure: Exposure, field: Any) -> FieldSchema:
    """Return the description of an exposed field."""
    kind = type(field).__name__
    if kind == "GenericForeignKey":
        return FieldSchema(
            name=field.name, type=kind, content_type_field=field.ct_field, object_id_field=field.fk_field
        )
    if kind == "GenericRelation":
        return FieldSchema(
            name=field.name,
            type=kind,
            to=field.related_model._meta.label,
            content_type_field=field.content_type_field_name,
            object_id_field=field.object_id_field_name,
            related_query_name=field.remote_field.related_query_name,
        )
    options = _common(exposure, field)
    if field.is_relation:
        relation = _relation(policy, exposure, field)
        if relation is None:  # the other end is hidden: only the column with its value is described
            return FieldSchema(**{**options, **_sizes(_target(field)), "name": field.attname, "type": _key_type(field)})
        return FieldSchema(**options, **relation)
    return FieldSchema(**options, **_sizes(field), type=_type(field))


def _common(exposure: Exposure, field: Any) -> dict[str, Any]:
    """Return the options that all kinds of fields have."""
    name = field.name
    usual = "ID" if isinstance(field, AutoField) and name == "id" else name.replace("_", " ")
    output = field.output_field if is_generated(field) else field
    readonly = name not in exposure.writable and not field.primary_key and not is_generated(field)
    options = {
        "name": name,
        "verbose_name": None if str(field.verbose_name) == usual else str(field.verbose_name),
        "help_text": str(field.help_text) or None,
        "null": output.null,
        "blank": field.blank and field.editable and not isinstance(field, AutoField),
        "unique": field.unique and not field.primary_key and not field.one_to_one,
        "primary_key": field.primary_key,
        "editable": field.editable and output is field,
        "readonly": readonly or output is not field,
        "filterable": name in exposure.usable,
        "choices": _choices(field),
        "auto_now": getattr(field, "auto_now", False),
        "auto_now_add": getattr(field, "auto_now_add", False),
        "allow_unicode": getattr(field, "allow_unicode", False),
        "protocol": protocol if (protocol := getattr(field, "protocol", "both")) != "both" else None,
    }
    return {**options, **_default(field)}


def _default(field: Any) -> dict[str, Any]:
    if has_db_default(field):
        return {"filled": True}
    default = field.default
    if default is NOT_PROVIDED:
        return {}
    called = next((name for function, name in _CALLED.items() if default == function), None)
    if called is not None:
        return {"called_default": called}
    if callable(default):
        return {"filled": True}
    try:
        return {"default": freeze(default)}
    except TypeError:
        return {"filled": True}


def _choices(field: Any) -> list[Any] | None:
    """Return pairs of value and label, or of a group's label and its pairs; None if they are not plain data."""
    if not field.choices or not isinstance(field.choices, list | tuple):
        return None
    try:
        return [_choice(value, label) for value, label in field.choices]
    except (TypeError, ValueError):
        return None


def _choice(value: Any, label: Any) -> list[Any]:
    if isinstance(label, list | tuple):
        return [str(value), [_choice(inner, text) for inner, text in label]]
    return [freeze(value), str(label)]


def _sizes(field: Any) -> dict[str, Any]:
    field = getattr(field, "output_field", None) or field if is_generated(field) else field
    return {name: getattr(field, name, None) for name in ("max_length", "max_digits", "decimal_places")}


def _type(field: Any) -> str | None:
    """Return the name of the nearest class of Django in the bases of the field; None if no such class describes it."""
    if is_generated(field):
        field = field.output_field
    for cls in type(field).__mro__:
        if cls.__name__ in FIELD_TYPES and cls.__module__.startswith("django.db.models"):
            # A class that stores another type than its base class overrides get_internal_type().
            internal = field.get_internal_type()
            return cls.__name__ if internal in FIELD_TYPES else None
        if cls is Field:
            break
    internal = field.get_internal_type() if isinstance(field, Field) else None
    return internal if internal in FIELD_TYPES else None


def _target(field: Any) -> Any:
    while field.is_relation and field.remote_field:
        field = field.target_field
    return field


def _key_type(field: Any) -> str | None:
    type_name = _type(_target(field))
    return _KEY_TYPES.get(type_name, type_name)  # type: ignore[arg-type]  # narrower than mypy can tell


# Relations


def _relation(policy: Policy, exposure: Exposure, field: Any) -> dict[str, Any] | None:
    """Return the options that only relations have; None if the other end is hidden from the client."""
    related, remote = field.related_model, field.remote_field
    if related._meta.label == CONTENT_TYPE and apps.is_installed("django.contrib.contenttypes"):
        to = CONTENT_TYPE  # a model of Django, which exists at both ends
    elif policy.view(related) is None or field.name not in exposure.usable:
        return None
    else:
        to = related._meta.label
    # The reverse side of a relation leads to the model that declares it, and not to a child model or a proxy.
    inherited = field.model is not exposure.model
    options = {
        "type": _relation_type(field),
        "to": to,
        "related_name": "+" if inherited else _related_name(remote),
        "related_query_name": None if inherited else remote.related_query_name,
    }
    if field.many_to_many:
        return {**options, **_many_to_many(policy, field)}
    target = field.target_field
    if not target.primary_key and to != CONTENT_TYPE:
        view = policy.view(related)
        if view is None or target.name not in view.names:
            return None
        options["to_field"] = target.name
    rule = getattr(remote.on_delete, "__name__", "")
    options["on_delete"] = rule if rule in DELETE_RULES else "SET"
    options["parent_link"] = bool(remote.parent_link) and not inherited
    return options


def _relation_type(field: Any) -> str:
    if field.many_to_many:
        return "ManyToManyField"
    return "OneToOneField" if field.one_to_one else "ForeignKey"


def _related_name(remote: Any) -> str | None:
    name = remote.related_name
    if name and name.endswith("+"):
        return None if name.endswith("_rel_+") or name.endswith("_+") else "+"
    return name or None


def _many_to_many(policy: Policy, field: Any) -> dict[str, Any]:
    remote = field.remote_field
    through = remote.through
    options: dict[str, Any] = {}
    if field.related_model is field.model:
        options["symmetrical"] = remote.symmetrical
    if not through._meta.auto_created and policy.view(through) is not None:
        options["through"] = through._meta.label
        options["through_fields"] = list(remote.through_fields) if remote.through_fields else None
    return options


# Computed fields


def computed_schema(exposure: Exposure, name: str) -> ComputedSchema:
    """Return the description of a computed field, with the type in the return annotation of its function."""
    return ComputedSchema(name=name, type=_annotated(exposure, name))


def _annotated(exposure: Exposure, name: str) -> str | None:
    function = getattr(type(exposure.rpc), name, None) or getattr(exposure.model, name, None)
    function = getattr(function, "fget", None) or getattr(function, "func", None) or function
    if function is None:
        return None
    try:
        hint = typing.get_type_hints(inspect.unwrap(function)).get("return")
    except (NameError, TypeError, AttributeError, FieldDoesNotExist):
        return None
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next((item for item in typing.get_args(hint) if item is not type(None)), None)
    hint = typing.get_origin(hint) or hint
    return next((kind for base, kind in _ANNOTATED.items() if hint is base), None)


assert all(base in ATOMS or base in (dict, list) for base in _ANNOTATED)
