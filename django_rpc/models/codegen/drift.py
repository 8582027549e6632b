"""Comparison of a mirror with the model that its service exposes.

``manage.py check --database rpc`` prints the `differences`; docs/reference/checks.md explains each id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.models import Field

from django_rpc.backend.django_compat import is_generated
from django_rpc.graph.schema import FIELD_TYPES, RELATIONS, FieldSchema, ModelSchema
from django_rpc.models.options import options_of

__all__ = ["Difference", "ServedModel", "differences", "near_names"]

#: Groups of field types with values of one Python type and one meaning.
_FAMILIES = {
    "a whole number": "AutoField BigAutoField SmallAutoField IntegerField BigIntegerField SmallIntegerField "
    "PositiveIntegerField PositiveBigIntegerField PositiveSmallIntegerField",
    "text": "CharField TextField EmailField SlugField URLField FileField ImageField FilePathField "
    "GenericIPAddressField",
}
_FAMILY = {name: family for family, names in _FAMILIES.items() for name in names.split()}
_RANGES = BaseDatabaseOperations.integer_field_ranges


@dataclass(frozen=True)
class Difference:
    """One finding: the id of docs/reference/checks.md, the mirror or its field, the problem, and a hint."""

    id: str
    obj: Any
    message: str
    hint: str | None = None


@dataclass(frozen=True)
class ServedModel:
    """Fields and methods of one model that the service exposes, including inherited fields.

    ``fields`` has each field by its name, and a relation also by the name of its column.
    """

    label: str
    fields: Mapping[str, FieldSchema]
    computed: Mapping[str, str | None]
    composite_key: tuple[str, ...]
    operations: frozenset[str]
    proxy_of: str | None = None

    @classmethod
    def of(cls, described: Mapping[str, ModelSchema], label: str) -> ServedModel | None:
        """Return the model ``label`` of an answer, in any case of its letters; None where the answer does not have it.

        >>> tag = ModelSchema(model="shop.Tag", fields=[FieldSchema(name="id", type="AutoField", primary_key=True)])
        >>> list(ServedModel.of({"shop.Tag": tag}, "shop.tag").fields)
        ['id']
        """
        match = next((model for name, model in described.items() if name.lower() == label.lower()), None)
        if match is None:
            return None
        fields: dict[str, FieldSchema] = {}
        for model in _lineage(described, match):
            for field in model.fields:
                fields.setdefault(field.name, field)
        columns = {
            f"{name}_id": field for name, field in fields.items() if field.type in ("ForeignKey", "OneToOneField")
        }
        return cls(
            label=match.model,
            fields={**columns, **fields},
            computed={item.name: item.type for model in _lineage(described, match) for item in model.computed},
            composite_key=tuple(match.composite_key),
            operations=frozenset(match.operations),
            proxy_of=match.proxy_of,
        )

    @property
    def writable(self) -> bool:
        return bool({"create", "update"} & self.operations)

    @property
    def names(self) -> list[str]:
        return [*{field.name: None for field in self.fields.values()}, *self.computed]

    @property
    def key(self) -> FieldSchema | None:
        return next((field for field in self.fields.values() if field.primary_key), None)


def _lineage(described: Mapping[str, ModelSchema], model: ModelSchema) -> Iterator[ModelSchema]:
    yield model
    for label in (*([model.proxy_of] if model.proxy_of else []), *model.parents):
        if label in described:
            yield from _lineage(described, described[label])


def near_names(name: str, known: Iterable[str], what: str) -> str:
    """Return a hint with the names similar to ``name``, or with all names.

    >>> near_names("titel", ["title", "price"], "It exposes")
    "Did you mean 'title'?"
    >>> near_names("colour", ["title", "price"], "It exposes")
    'It exposes price, title.'
    """
    known = sorted(known)
    near = get_close_matches(name, known, 3)
    return f"Did you mean {' or '.join(map(repr, near))}?" if near else f"{what} {', '.join(known) or 'nothing'}."


def differences(model: Any, described: Mapping[str, ModelSchema]) -> list[Difference]:
    """Return the differences between the mirror ``model`` and ``described``, the models of its service by label."""
    options = options_of(model)
    assert options is not None
    served = ServedModel.of(described, options.label)
    if served is None:
        message = (
            f"{model._meta.label} mirrors {options.label}, which {options.database!r} does not expose to this client."
        )
        same_name = [label for label in described if label.split(".")[1].lower() == options.label.split(".")[1].lower()]
        hint = near_names(options.label, same_name or described, "It exposes")
        hint = f"Did you mean {' or '.join(map(repr, same_name))}?" if same_name else hint
        return [
            Difference("E011", model, message, f"{hint} Name it in class Rpc, or register it in the service's rpc.py.")
        ]
    return list(_Comparison(model, served, described).run())


class _Comparison:
    """Comparison of one mirror with its model."""

    def __init__(self, model: Any, served: ServedModel, described: Mapping[str, ModelSchema]) -> None:
        self.model = model
        self.opts = model._meta
        self.served = served
        self.described = described

    def run(self) -> Iterator[Difference]:
        # The fields of a parent, or of the concrete model of a proxy, are compared with the mirror that declares them.
        if self.opts.proxy:
            yield from self._proxy()
        else:
            for field in (*self.opts.local_fields, *self.opts.local_many_to_many, *self.opts.private_fields):
                if field.model is self.model and not self._is_link(field) and not _is_unresolved(field):
                    yield from self._field(field)
        yield from self._named_fields()

    def _proxy(self) -> Iterator[Difference]:
        """Compare a proxy that names another model in ``class Rpc``; the model must have all fields of its mirror."""
        concrete = options_of(self.opts.concrete_model)
        assert concrete is not None
        if self.served.label.lower() == concrete.label.lower():
            return
        if (self.served.proxy_of or "").lower() != concrete.label.lower():
            message = (
                f"{self.opts.label} is a proxy of {self.opts.concrete_model._meta.label}, a mirror of {concrete.label}"
                f"; the service exposes {self.served.label} not as a proxy of {concrete.label} with the same fields."
            )
            hint = "Derive the mirror from RpcModel and declare its fields, or leave `name` out of its class Rpc."
            yield Difference("E017", self.model, message, hint)

    def _is_link(self, field: Any) -> bool:
        remote = field.remote_field
        return bool(remote and getattr(remote, "parent_link", False) and field.auto_created)

    def _named_fields(self) -> Iterator[Difference]:
        """Compare the names in ``Rpc.fields`` that are not fields of the mirror: the service must compute them."""
        field_names = {name for field in self.opts.get_fields() for name in (field.name, getattr(field, "attname", ""))}
        for name in self.model._rpc.fields or ():
            if name not in field_names and name not in self.served.computed:
                message = f"{self.opts.label}.Rpc.fields has {name!r}, which is no field of the mirror, and which "
                message += f"{self.served.label} does not compute."
                names = {*self.served.names, *field_names - {""}}
                yield Difference("E016", self.model, message, near_names(name, names, "There are"))

    def _field(self, field: Any) -> Iterator[Difference]:
        served_field = self.served.fields.get(field.name) or self.served.fields.get(
            getattr(field, "attname", field.name)
        )
        if hasattr(field, "field_names"):
            yield from self._composite_key(field)
            return
        if served_field is None:
            if field.name in self.served.computed:
                yield from self._computed(field, self.served.computed[field.name])
            else:
                yield self._missing(field)
            return
        if getattr(field, "primary_key", False) and not served_field.primary_key:  # generic: without it in Django 4.2
            key = self.served.key
            hint = f"The primary key of {self.served.label} is {key.name!r}: declare it so." if key else None
            message = f"is the mirror's primary key, and not that of {self.served.label}."
            yield self._difference("E015", field, message, hint)
        wrong = self._relation(field, served_field) or self._type(field, served_field)
        if wrong is not None:
            yield wrong
            return
        if field.concrete and not field.many_to_many:
            yield from self._nulls(field, served_field)
            yield from self._sizes(field, served_field)
        yield from self._readonly(field, served_field.readonly)

    def _difference(self, id: str, field: Any, message: str, hint: str | None) -> Difference:
        return Difference(id, field, f"{self.opts.label}.{field.name} {message}", hint)

    def _missing(self, field: Any) -> Difference:
        key = self.served.key
        if field.primary_key and key is not None:
            hint = f"The primary key there is {key.name!r}: declare it with primary_key=True."
        else:
            hint = near_names(field.name, self.served.names, "It exposes")
        message = f"does not exist at the service: {self.served.label} does not expose it to this client."
        return self._difference("E012", field, message, hint)

    def _computed(self, field: Any, kind: str | None) -> Iterator[Difference]:
        if kind is not None and _family(_type_of(field)) not in (None, _family(kind)):
            message = f"is of {type(field).__name__}, and {self.served.label} computes a value of {kind}."
            yield self._difference("E013", field, message, f"Declare it as {kind}.")
        else:
            yield from self._readonly(field, True)

    def _relation(self, field: Any, found: FieldSchema) -> Difference | None:
        """Compare the relations: both must lead to the same model, by the same field."""
        there = found.type if found.type in RELATIONS else None
        kind = _relation_kind(field)
        if kind != there and (_has_no_column(kind) or _has_no_column(there)):
            message = f"is of {type(field).__name__}, and {self.served.label}.{found.name} of {found.type}."
            return self._difference("E013", field, message, f"Declare it as {found.type}.")
        target = options_of(field.related_model) if field.is_relation and field.related_model else None
        if target is None or there is None or found.to is None:
            return None  # a key of a local model, or a column with a hidden target: only the type is compared
        if target.label.lower() != found.to.lower():
            message = f"leads to {target.label}, and {self.served.label}.{found.name} to {found.to}."
            return self._difference("E014", field, message, f"Let it lead to a mirror of {found.to}.")
        if kind in ("ForeignKey", "OneToOneField"):
            return self._target(field, found)
        return None

    def _target(self, field: Any, found: FieldSchema) -> Difference | None:
        key = self._key_of(found)
        if key is None or key.name in (field.target_field.name, field.target_field.attname):
            return None
        if field.target_field.primary_key and key.primary_key:
            return None  # the comparison of the target model reports the other name of its key
        message = (
            f"holds {found.to}.{field.target_field.name}, and {self.served.label}.{found.name} {found.to}.{key.name}."
        )
        return self._difference("E014", field, message, f'Declare it with to_field="{key.name}".')

    def _key_of(self, found: FieldSchema) -> FieldSchema | None:
        """Return the field of the target that a foreign key holds."""
        served = ServedModel.of(self.described, found.to or "")
        if served is None:
            return None
        return served.fields.get(found.to_field) if found.to_field else served.key

    def _type(self, field: Any, found: FieldSchema) -> Difference | None:
        if not field.concrete or field.many_to_many:
            return None
        column, seen = found, 0
        while column.type in ("ForeignKey", "OneToOneField") and seen < 10:  # a key may be a foreign key itself
            following = self._key_of(column)
            if following is None:
                return None
            column, seen = following, seen + 1
        here, there = _type_of(field), column.type
        if here is None or there is None or _family(here) == _family(there):
            return None
        held = "" if column is found else f" (the key of {found.to})"
        message = f"is of {type(field).__name__}, and {self.served.label}.{found.name} of {there}{held}."
        return self._difference("E013", field, message, f"Declare it as {found.type}.")

    def _nulls(self, field: Any, found: FieldSchema) -> Iterator[Difference]:
        output = _output(field)
        if found.null and not output.null:
            message = f"has null=False, and {self.served.label}.{found.name} may be None."
            yield self._difference("W011", field, message, "Declare it with null=True.")
        elif output.null and not found.null and self._writes(field, found):
            message = f"has null=True, and the service refuses None for {self.served.label}.{found.name}."
            yield self._difference("W012", field, message, "Declare it without null=True.")

    def _composite_key(self, field: Any) -> Iterator[Difference]:
        if tuple(field.field_names) != self.served.composite_key:
            names = self.served.composite_key or [self.served.key.name if self.served.key else "nothing"]
            message = f"is the mirror's primary key, and not that of {self.served.label}."
            yield self._difference("E015", field, message, f"The primary key there is of {' and '.join(names)}.")

    def _sizes(self, field: Any, found: FieldSchema) -> Iterator[Difference]:
        """Compare lengths, digits and ranges; forms and full_clean() validate values by these."""
        if field.is_relation or field.primary_key:
            return
        for name, here, there in _limits(_output(field), found):
            if _less(here, there):
                message = f"has {name} {_shown(here)}, and {self.served.label}.{found.name} {_shown(there)}: "
                message += "forms and full_clean() refuse values that the service has."
                yield self._difference("W013", field, message, f"Declare it with the service's {name}.")
            elif _less(there, here) and self._writes(field, found):
                message = f"has {name} {_shown(here)}, and {self.served.label}.{found.name} {_shown(there)}: "
                message += "the service refuses values that forms and full_clean() accept."
                yield self._difference("W014", field, message, f"Declare it with the service's {name}.")

    def _writes(self, field: Any, found: FieldSchema) -> bool:
        return self.served.writable and field.editable and not found.readonly

    def _readonly(self, field: Any, readonly: bool) -> Iterator[Difference]:
        automatic = getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
        editable = getattr(field, "editable", False) and not automatic and not field.primary_key
        if readonly and editable and self.served.writable:
            message = f"can be edited, and {self.served.label} does not let this client set it."
            yield self._difference("W015", field, message, "Declare it with editable=False.")
        if readonly and "create" in self.served.operations and _fills_itself(field):
            message = f"has a value before it is saved, and {self.served.label} does not let this client set it: "
            message += "the service may refuse create()."
            hint = "Remove default, auto_now and auto_now_add: the service fills the field."
            yield self._difference("W016", field, message, hint)


def _fills_itself(field: Any) -> bool:
    """Return True if a new instance has a value of ``field`` that no code has set."""
    automatic = getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
    return automatic or (getattr(field, "concrete", False) and field.has_default())


def _output(field: Any) -> Any:
    return field.output_field if is_generated(field) else field


def _is_unresolved(field: Any) -> bool:
    """Return True if the target is the name of a model that does not exist, which Django's check reports."""
    return bool(field.remote_field) and isinstance(field.remote_field.model, str)


def _has_no_column(kind: str | None) -> bool:
    return kind in ("ManyToManyField", "GenericForeignKey", "GenericRelation")


def _relation_kind(field: Any) -> str:
    for cls in type(field).__mro__:
        if cls.__name__ in RELATIONS:
            return cls.__name__
    return ""


def _type_of(field: Any) -> str | None:
    """Return the nearest Django class that stores the values of the field; None for a different storage type."""
    field = _output(field)
    while field.is_relation and field.remote_field:
        field = field.target_field
    if not isinstance(field, Field):
        return None
    internal = field.get_internal_type()
    for cls in type(field).__mro__:
        if cls.__name__ in FIELD_TYPES and cls.__module__.startswith("django.db.models"):
            return cls.__name__ if internal in FIELD_TYPES else None
    return internal if internal in FIELD_TYPES else None


def _family(kind: str | None) -> str | None:
    return None if kind is None else _FAMILY.get(kind, kind)


def _limits(field: Any, found: FieldSchema) -> Iterator[tuple[str, Any, Any]]:
    """Yield each limit with its name, its value here, and its value at the service (None: no limit)."""
    if _family(_type_of(field)) == _family(found.type) == "text":
        yield "max_length", getattr(field, "max_length", None), found.max_length
    if found.type == "DecimalField":
        here, there = (field.max_digits, field.decimal_places), (found.max_digits, found.decimal_places)
        if None not in (*here, *there) and here != there:
            integer_digits: list[Any] = [digits - places for digits, places in (here, there)]  # type: ignore[operator]  # none is None
            yield "max_digits - decimal_places", integer_digits[0], integer_digits[1]
            yield "decimal_places", here[1], there[1]
    here, there = _RANGES.get(_type_of(field) or ""), _RANGES.get(found.type or "")
    if here is not None and there is not None:
        yield "a range of", here, there


def _less(one: Any, other: Any) -> bool:
    """Return True if ``one`` allows less than ``other``."""
    if isinstance(one, tuple):
        return one[0] > other[0] or one[1] < other[1]
    return one is not None and (other is None or one < other)


def _shown(limit: Any) -> str:
    return f"{limit[0]} to {limit[1]}" if isinstance(limit, tuple) else "no limit" if limit is None else str(limit)
