"""Declaration of a mirror for a described model, for both the generated source and the class that is made at run time.

`field_call` returns the construction of a field, as a name and arguments. `Code` is an argument that is not a literal.
"""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass, field
from typing import Any

import msgspec
from django.apps import apps
from django.db import models
from django.db.models import Q
from django.utils import timezone

from django_rpc.backend.django_compat import check_condition_name, has_composite_keys, has_database_defaults
from django_rpc.graph.schema import CheckSchema, FieldSchema, ModelSchema

__all__ = [
    "CONTENT_TYPE",
    "Code",
    "FieldCall",
    "bases",
    "class_names",
    "composite_key",
    "declared_fields",
    "field_call",
    "inherit_order",
    "meta_options",
    "plain",
]

CONTENT_TYPE = "contenttypes.ContentType"
GENERIC = frozenset({"GenericForeignKey", "GenericRelation"})

#: Default maximum length of some classes.
_LENGTHS = {
    "EmailField": 254,
    "FileField": 100,
    "ImageField": 100,
    "SlugField": 50,
    "URLField": 200,
}
#: Options that only one class has.
_OWN_OPTIONS = {
    "DecimalField": ("max_digits", "decimal_places"),
    "GenericIPAddressField": ("protocol",),
    "SlugField": ("allow_unicode",),
}
_WITH_LENGTH = frozenset({"BinaryField", "CharField", "TextField", *_LENGTHS})


@dataclass(frozen=True)
class Code:
    """Python expression in source text, with its value and the line that imports its names."""

    text: str
    value: Any
    imports: str = ""

    def __repr__(self) -> str:
        return self.text


_DEFAULTS = {
    "dict": Code("dict", dict),
    "list": Code("list", list),
    "now": Code("timezone.now", timezone.now, "from django.utils import timezone"),
    "today": Code("datetime.date.today", datetime.date.today, "import datetime"),
    "uuid4": Code("uuid.uuid4", uuid.uuid4, "import uuid"),
}


@dataclass
class FieldCall:
    """Construction of a field or a constraint: the name of its class, arguments, and a comment for the reader."""

    name: str
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    remark: str = ""

    @property
    def is_generic(self) -> bool:
        return self.name in GENERIC

    def make(self) -> Any:
        """Return the constructed object."""
        if self.is_generic:
            from django.contrib.contenttypes import fields

            factory = getattr(fields, self.name)
        else:
            factory = getattr(models, self.name)
        return factory(*map(plain, self.args), **{name: plain(value) for name, value in self.kwargs.items()})


def plain(value: Any) -> Any:
    """Return ``value`` with objects in place of `Code` and `FieldCall`."""
    if isinstance(value, Code):
        return value.value
    if isinstance(value, FieldCall):
        return value.make()
    return type(value)(map(plain, value)) if isinstance(value, list | tuple) else value


def declared_fields(model: ModelSchema) -> list[FieldSchema]:
    """Return the fields that a mirror can have.

    A field cannot have the name ``Rpc``, which the class of a mirror needs.
    """
    return [described for described in model.fields if described.name != "Rpc"]


def field_call(model: ModelSchema, described: FieldSchema, names: dict[str, str]) -> tuple[str, FieldCall]:
    """Return the name and the construction of a field.

    ``names`` maps the label of each related model to its name in the source. For a model that is not in it, the field
    is the key instead of the relation.
    """
    if described.type == "GenericForeignKey":
        return described.name, FieldCall(described.type, [described.content_type_field, described.object_id_field])
    if described.type == "GenericRelation":
        return described.name, _generic_relation(described, names)
    if described.to is None:
        return described.name, _column(described)
    if described.to == CONTENT_TYPE and not apps.is_installed("django.contrib.contenttypes"):
        plain = msgspec.structs.replace(described, name=f"{described.name}_id", type="IntegerField", to=None)
        return plain.name, _column(plain)
    return described.name, _relation(model, described, names)


def _generic_relation(described: FieldSchema, names: dict[str, str]) -> FieldCall:
    call = FieldCall("GenericRelation", [names[described.to or ""]])
    usual = {"content_type_field": "content_type", "object_id_field": "object_id"}
    for name in usual:
        if getattr(described, name) != usual[name]:
            call.kwargs[name] = getattr(described, name)
    if described.related_query_name:
        call.kwargs["related_query_name"] = described.related_query_name
    return call


def _column(described: FieldSchema) -> FieldCall:
    call = FieldCall(described.type or "TextField", _verbose(described), {})
    if described.type is None:
        call.remark = "This field type is a guess."
    length = described.max_length
    if described.type == "FilePathField":  # its forms list the files of a folder, which is at the service
        call = FieldCall("CharField", call.args, {}, "A FilePathField there.")
    if length is not None and call.name in _WITH_LENGTH and length != _LENGTHS.get(call.name):
        call.kwargs["max_length"] = length
    for name in _OWN_OPTIONS.get(call.name, ()):
        if getattr(described, name):
            call.kwargs[name] = getattr(described, name)
    call.kwargs.update(_common(described))
    for name in ("auto_now", "auto_now_add"):
        if getattr(described, name) and not described.readonly:
            call.kwargs[name] = True
    return call


def _relation(model: ModelSchema, described: FieldSchema, names: dict[str, str]) -> FieldCall:
    assert described.to is not None
    target = "self" if described.to == model.model else names[described.to]
    call = FieldCall(described.type or "ForeignKey", [target])
    if described.type != "ManyToManyField":
        rule = described.on_delete if described.on_delete != "SET" else "DO_NOTHING"
        rule = "DO_NOTHING" if described.to == CONTENT_TYPE else rule
        call.args.append(Code(f"models.{rule}", getattr(models, rule or "DO_NOTHING")))
        if described.verbose_name:
            call.kwargs["verbose_name"] = described.verbose_name
    elif described.verbose_name:
        call.kwargs["verbose_name"] = described.verbose_name
    if described.to_field:
        call.kwargs["to_field"] = described.to_field
    if described.parent_link:
        call.kwargs["parent_link"] = True
    for name in ("related_name", "related_query_name"):
        if getattr(described, name):
            call.kwargs[name] = getattr(described, name)
    if described.type == "ManyToManyField":
        if target == "self" and not described.symmetrical:
            call.kwargs["symmetrical"] = False
        if described.through in names:
            call.kwargs["through"] = names[described.through or ""]
            if described.through_fields:
                call.kwargs["through_fields"] = tuple(described.through_fields)
    common = _common(described)
    if described.type == "ManyToManyField":
        common.pop("null", None)
    call.kwargs.update(common)
    return call


def composite_key(model: ModelSchema) -> dict[str, FieldCall]:
    """Return the composite key; empty before Django 5.2, which has no composite keys."""
    if not model.composite_key or not has_composite_keys:
        return {}
    return {"pk": FieldCall("CompositePrimaryKey", list(model.composite_key))}


def _verbose(described: FieldSchema) -> list[Any]:
    return [described.verbose_name] if described.verbose_name else []


def _common(described: FieldSchema) -> dict[str, Any]:
    options: dict[str, Any] = {}
    automatic = described.auto_now or described.auto_now_add
    if described.choices is not None:
        options["choices"] = [_choice(value, label) for value, label in described.choices]
    has_default = described.default is not msgspec.UNSET or described.called_default in _DEFAULTS
    if has_default and not described.readonly:
        options["default"] = (
            described.default if described.default is not msgspec.UNSET else _DEFAULTS[str(described.called_default)]
        )
    elif (described.filled or has_default or (described.readonly and automatic)) and has_database_defaults:
        # The client does not send the field, so that the service fills it.
        options["db_default"] = Code("models.Value(None)", models.Value(None))
    for name in ("null", "blank", "unique", "primary_key"):
        if getattr(described, name):
            options[name] = True
    editable = described.editable and not described.readonly
    if editable == (described.type == "BinaryField") and (
        described.readonly or not automatic
    ):  # where it differs from the default of the class
        options["editable"] = editable
    if described.help_text:
        options["help_text"] = described.help_text
    return options


def _choice(value: Any, label: Any) -> tuple[Any, Any]:
    if isinstance(label, list | tuple):
        return value, [_choice(inner, text) for inner, text in label]
    return value, label


def meta_options(model: ModelSchema) -> dict[str, Any]:
    """Return the options for ``class Meta`` of the mirror, with tuples: linters warn of lists that a class shares."""
    options: dict[str, Any] = {}
    if model.proxy_of is not None:
        options["proxy"] = True
    for name in ("verbose_name", "verbose_name_plural"):
        if getattr(model, name):
            options[name] = getattr(model, name)
    if model.ordering:
        options["ordering"] = tuple(model.ordering)
    if model.get_latest_by:
        options["get_latest_by"] = (
            model.get_latest_by[0] if len(model.get_latest_by) == 1 else tuple(model.get_latest_by)
        )
    if model.unique_together:
        options["unique_together"] = tuple(map(tuple, model.unique_together))
    constraints = [
        FieldCall("UniqueConstraint", [], {"fields": item.fields, "name": item.name}) for item in model.constraints
    ]
    constraints += [_check_constraint(check) for check in model.checks]
    if constraints:
        options["constraints"] = tuple(constraints)
    return options


def _check_constraint(check: CheckSchema) -> FieldCall:
    options = {check_condition_name: _condition(check.condition), "name": check.name}
    if check.message is not None:
        options["violation_error_message"] = check.message
    return FieldCall("CheckConstraint", [], options)


def _condition(condition: list[Any]) -> FieldCall:
    """Return the ``Q`` of a condition, in the form that ``Q.deconstruct()`` has."""
    connector, negated, children = condition
    options: dict[str, Any] = {} if connector == Q.default else {"_connector": connector}
    if negated:
        options["_negated"] = True
    return FieldCall("Q", [_child(child) for child in children], options)


def _child(child: list[Any]) -> Any:
    if isinstance(child[0], str) and child[1] in ("value", "field"):
        lookup, kind, value = child
        return lookup, FieldCall("F", [value]) if kind == "field" else value
    return _condition(child)


def class_names(described: dict[str, ModelSchema]) -> dict[str, str]:
    """Return the name of the class for each label.

    Of two models with one name, the second gets its app's name as a prefix.

    >>> class_names({label: ModelSchema(model=label) for label in ("hall.Seat", "zoo.Seat")})
    {'hall.Seat': 'Seat', 'zoo.Seat': 'ZooSeat'}
    """
    names: dict[str, str] = {}
    for label in described:
        app_label, _, name = label.partition(".")
        if name in names.values():
            name = app_label.replace("_", " ").title().replace(" ", "") + name
        names[label] = name
    return names


def inherit_order(described: dict[str, ModelSchema]) -> list[ModelSchema]:
    """Return the models, each after the models that it inherits from."""
    done: dict[str, ModelSchema] = {}

    def add(model: ModelSchema) -> None:
        for label in (*model.parents, *([model.proxy_of] if model.proxy_of else [])):
            if label in described and label not in done:
                add(described[label])
        done.setdefault(model.model, model)

    for model in described.values():
        add(model)
    return list(done.values())


def bases(model: ModelSchema) -> list[str]:
    """Return the labels of the mirrors that the mirror inherits from."""
    return [model.proxy_of] if model.proxy_of else list(model.parents)
