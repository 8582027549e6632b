"""The models that a service exposes, as plain data: the value of a `DescribeModels` node.

This process uses the structs below. `as_data` and `models_of` convert them to the dicts that cross the wire, and back.
Keys with default values are left out, and a reader ignores keys that it does not know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from django_rpc.graph.values import ATOMS
from django_rpc.graph.vocabulary.names import FIELDS, check_identifier, check_model, check_path

__all__ = [
    "CALLED_DEFAULTS",
    "DELETE_RULES",
    "FIELD_TYPES",
    "RELATIONS",
    "CheckSchema",
    "ComputedSchema",
    "ConstraintSchema",
    "FieldSchema",
    "ModelSchema",
    "as_data",
    "models_of",
]

RELATIONS = frozenset("ForeignKey OneToOneField ManyToManyField GenericForeignKey GenericRelation".split())
#: Every type that a described field may have, as Django's class name; null is a type that only the service knows.
FIELD_TYPES = frozenset({*FIELDS, *RELATIONS, "FileField", "FilePathField", "ImageField"})
DELETE_RULES = frozenset("CASCADE PROTECT RESTRICT SET_NULL SET_DEFAULT SET DO_NOTHING".split())
#: Functions that compute a default, named after their result.
CALLED_DEFAULTS = frozenset("dict list now today uuid4".split())


class _SchemaPart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of the structs."""


class FieldSchema(_SchemaPart, frozen=True):
    """One field.

    The attributes from ``null`` to ``editable`` and the sizes are Django's options. ``default`` is plain data.
    ``called_default`` names the function that computes the default. ``filled`` means that the service fills the field
    by another rule. ``readonly`` means that this client may not set the field. ``filterable`` is False if queries of
    this client may not use the field. ``to`` is the label of the related model.
    """

    name: str
    type: str | None = None
    verbose_name: str | None = None
    help_text: str | None = None
    null: bool = False
    blank: bool = False
    unique: bool = False
    primary_key: bool = False
    editable: bool = True
    readonly: bool = False
    filterable: bool = True
    max_length: int | None = None
    max_digits: int | None = None
    decimal_places: int | None = None
    allow_unicode: bool = False
    protocol: str | None = None
    choices: list[Any] | None = None
    default: Any = msgspec.UNSET
    called_default: str | None = None
    filled: bool = False
    auto_now: bool = False
    auto_now_add: bool = False
    to: str | None = None
    to_field: str | None = None
    on_delete: str | None = None
    related_name: str | None = None
    related_query_name: str | None = None
    through: str | None = None
    through_fields: list[str] | None = None
    symmetrical: bool = False
    parent_link: bool = False
    content_type_field: str | None = None
    object_id_field: str | None = None


class ComputedSchema(_SchemaPart, frozen=True):
    """A value that the service computes for each instance; its type is known if the function is annotated with it."""

    name: str
    type: str | None = None


class ConstraintSchema(_SchemaPart, frozen=True):
    """Fields that are unique together, without a condition."""

    name: str
    fields: list[str]


class CheckSchema(_SchemaPart, frozen=True):
    """A check constraint.

    ``condition`` is ``[connector, negated, children]`` of Django's ``Q``. A child is another condition, or ``[lookup,
    "value", value]``, or ``[lookup, "field", name]`` for a comparison with another field. ``message`` is the text of
    the validation error, if the constraint has a text.
    """

    name: str
    condition: list[Any]
    message: str | None = None


class ModelSchema(_SchemaPart, frozen=True):
    """One model, with the parts that this client may see.

    ``parents`` are models of the same answer; this model inherits their fields (multi-table inheritance) and does not
    repeat them. ``proxy_of`` is the model that this model is a proxy of. ``composite_key`` are the fields of a
    composite primary key. ``content_type`` is the primary key of its row in ContentType.
    """

    model: str
    verbose_name: str | None = None
    verbose_name_plural: str | None = None
    fields: list[FieldSchema] = []
    computed: list[ComputedSchema] = []
    operations: list[str] = []
    methods: list[str] = []
    ordering: list[str] = []
    get_latest_by: list[str] = []
    unique_together: list[list[str]] = []
    constraints: list[ConstraintSchema] = []
    checks: list[CheckSchema] = []
    parents: list[str] = []
    proxy_of: str | None = None
    composite_key: list[str] = []
    content_type: int | None = None


def as_data(models: Iterable[ModelSchema]) -> dict[str, Any]:
    """Return the value of a `DescribeModels` node.

    >>> as_data([ModelSchema(model="shop.Tag", fields=[FieldSchema(name="id", type="AutoField", primary_key=True)])])
    {'models': [{'model': 'shop.Tag', 'fields': [{'name': 'id', 'type': 'AutoField', 'primary_key': True}]}]}
    """
    return {"models": [_dict(model) for model in models]}


def _dict(part: _SchemaPart) -> dict[str, Any]:
    """Convert a struct to a dict without defaults. Values are unchanged; msgspec's conversion would make strings of
    decimals."""
    data = {}
    for field in msgspec.structs.fields(type(part)):
        value = getattr(part, field.name)
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        if value is default or (type(value) is type(default) and value == default):
            continue
        if isinstance(value, list) and value and isinstance(value[0], _SchemaPart):
            value = [_dict(item) for item in value]
        data[field.name] = value
    return data


def models_of(data: Any) -> dict[str, ModelSchema]:
    """Return the models in a `DescribeModels` node's value by their labels; raises ValueError for data of another form.

    >>> found = models_of({"models": [{"model": "shop.Tag", "new_key": 1}]})
    >>> found["shop.Tag"].operations
    []
    """
    try:
        models = [_model(item) for item in data["models"]]
    except (msgspec.ValidationError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"The service's answer does not describe models: {error}") from error
    return {model.model: model for model in models}


def _model(data: Mapping[str, Any]) -> ModelSchema:
    model = msgspec.convert({**data, "fields": [], "checks": []}, ModelSchema)
    fields = [msgspec.convert(_plain(item), FieldSchema) for item in data.get("fields", ())]
    # A default is any value, and convert() would validate its content.
    fields_with_defaults = [
        msgspec.structs.replace(field, default=item["default"]) if "default" in item else field
        for field, item in zip(fields, data.get("fields", ()), strict=True)
    ]
    checks = [
        msgspec.structs.replace(msgspec.convert({**item, "condition": []}, CheckSchema), condition=item["condition"])
        for item in data.get("checks", ())
    ]
    model = msgspec.structs.replace(model, fields=fields_with_defaults, checks=checks)
    _check(model)
    return model


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "default"}


def _check(model: ModelSchema) -> None:
    """Raise ValueError for an invalid name, because code generation uses the names in a program."""
    for label in (model.model, *model.parents, *([model.proxy_of] if model.proxy_of else [])):
        check_model(label)
    for name in (*model.methods, *model.composite_key, *(item.name for item in model.computed)):
        check_identifier(name)
    for field in model.fields:
        check_identifier(field.name)
        for label in filter(None, (field.to, field.through)):
            check_model(label)
        for name in filter(None, (field.to_field, *(field.through_fields or ()))):
            check_identifier(name)
        if field.type is not None and field.type not in FIELD_TYPES:
            raise ValueError(f"{model.model}.{field.name} has the unknown type {field.type!r}.")
        if field.on_delete is not None and field.on_delete not in DELETE_RULES:
            raise ValueError(f"{model.model}.{field.name} has the unknown rule {field.on_delete!r}.")
    for check in model.checks:
        _check_condition(check.condition, f"{model.model} has a check constraint {check.name!r}")


def _check_condition(condition: Any, subject: str) -> None:
    """Raise ValueError unless ``condition`` has the form that `CheckSchema` describes."""
    match condition:
        case ["AND" | "OR" | "XOR", bool(), list() as children] if children:
            for child in children:
                match child:
                    case [str() as lookup, "value", value] if _is_plain(value):
                        check_path(lookup)
                    case [str() as lookup, "field", str() as name]:
                        check_path(lookup)
                        check_path(name)
                    case _:
                        _check_condition(child, subject)
        case _:
            raise ValueError(f"{subject} with a condition of an unknown form.")


def _is_plain(value: Any) -> bool:
    return all(map(_is_plain, value)) if isinstance(value, list | tuple) else type(value) in ATOMS
