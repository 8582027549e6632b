"""Instances that a client names by model and primary key, resolved among the rows that the client sees.

A `Reference` is not a model instance: no code of a model can run on it. There are only three uses of a reference. Its
key is used if the value of a relation's column is needed. Its row is loaded if that column is not the key. Its row is
also loaded for code that works on instances. Each row is loaded through the scope of the client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db.models import Model, QuerySet

from django_rpc.errors import UnknownModel
from django_rpc.graph.values import ATOMS, Record, Reference
from django_rpc.graph.walk import map_children, objects_in
from django_rpc.server.django_compat import key_fields

if TYPE_CHECKING:
    from django_rpc.server.evaluate.evaluator import Evaluator

__all__ = [
    "CONTENT_TYPE",
    "MissingRow",
    "References",
    "holds_instance",
    "instances_in",
    "is_instance",
    "primary_key",
    "replaced",
]

CONTENT_TYPE = "contenttypes.ContentType"
_BATCH = 500
_CONTAINERS = (list, tuple, set, frozenset, dict, slice)


class MissingRow(LookupError):
    """No row that the client sees has the key of a reference."""


def is_instance(value: Any) -> bool:
    """Return True if ``value`` is a model instance or a reference to a row."""
    return isinstance(value, Model | Reference)


def instances_in(value: Any) -> Iterator[Any]:
    """Yield the instances and references in ``value``, at any depth of containers."""
    return (item for item in objects_in(value) if is_instance(item))


def holds_instance(value: Any) -> bool:
    """Return True if ``value`` is an instance or a reference, or contains such an object at any depth."""
    return next(instances_in(value), None) is not None


class References:
    """Resolves the references of one request."""

    def __init__(self, ev: Evaluator) -> None:
        self.ev = ev

    def model(self, value: Any) -> type[Model]:
        """Return the model of an instance or a reference; raises UnknownModel if the client may not use the model."""
        if isinstance(value, Model):
            return type(value)
        if value.model == CONTENT_TYPE and self._is_natural(value):
            return apps.get_model(CONTENT_TYPE)
        return self.ev.policy.model(value.model)

    def key(self, value: Any) -> Any:
        """Return the primary key of an instance or a reference."""
        if isinstance(value, Model):
            return value.pk
        if value.model == CONTENT_TYPE and self._is_natural(value):
            return self._content_type(value).pk
        model = self.model(value)
        parts = key_fields(model)
        if len(parts) == 1:
            if value.key is None or type(value.key) is tuple:
                raise ValueError(f"An instance of {model._meta.label} is known by its primary key, which is one value.")
            return parts[0].to_python(value.key)
        if type(value.key) is not tuple or len(value.key) != len(parts):
            raise ValueError(
                f"An instance of {model._meta.label} is known by its primary key, which has {len(parts)} values."
            )
        return tuple([part.to_python(item) for part, item in zip(parts, value.key, strict=True)])

    def targets(self, values: Iterable[Any], field: Any) -> list[Any]:
        """Return the value of ``field`` for each instance or reference; those with a missing row are left out.

        The required rows are loaded by one statement for each model.
        """
        values = list(values)
        loaded = self._load([value for value in values if self._must_load(value, field)], partial=True)
        rows = [value if isinstance(value, Model) else loaded.get(value, value) for value in values]
        return [self.target(row, field) for row in rows if isinstance(row, Model) or not self._must_load(row, field)]

    def _must_load(self, value: Any, field: Any) -> bool:
        if isinstance(value, Model):
            return False
        model, field = self._own_field(value, field)
        return issubclass(model, field.model._meta.concrete_model) and _part_of_key(model, field) is None

    def _own_field(self, value: Any, field: Any) -> tuple[type[Model], Any]:
        """Return the model of ``value``, and its field with the same value as ``field``, a field of a child model."""
        model = self.model(value)
        while not issubclass(model, field.model._meta.concrete_model) and field.remote_field:
            field = field.target_field
        return model, field

    def target(self, value: Any, field: Any) -> Any:
        """Return the value of ``field`` of an instance or a reference, as the column of a relation holds it.

        ``field`` belongs to the model of ``value``, to a parent of it, or to a child of it. Raises MissingRow if the
        row has to be loaded and the client sees no such row.
        """
        model, field = self._own_field(value, field)
        if not issubclass(model, field.model._meta.concrete_model):
            return self.key(value)  # the row that has this key as its foreign key, as Django compares pk=instance
        if isinstance(value, Model):
            return getattr(value, field.attname)
        part = _part_of_key(model, field)
        if part is None:
            return getattr(self.row(value), field.attname)
        key = self.key(value)
        return key[part] if type(key) is tuple and part >= 0 else key

    def identity(self, value: Any) -> tuple[type[Model], Any]:
        """Return the values that Django compares for instances: the concrete model and the primary key."""
        return self.model(value)._meta.concrete_model, self.key(value)

    def assigned(self, value: Any, field: Any) -> Any:
        """Return the value of the foreign key ``field`` for ``value``; anything but an instance is returned unchanged.

        Raises Django's error for an instance of another model, TypeError if ``field`` takes no instance, and MissingRow
        if the client sees no such row.
        """
        if not holds_instance(value):
            return value
        if not (is_instance(value) and field.is_relation and field.concrete):
            raise TypeError(f"Field {field.name!r} expected a value, and was given an instance of a model.")
        self.check_model(value, field)
        return self.target(value, field.target_field)

    def check_model(self, value: Any, field: Any) -> None:
        """Raise Django's ValueError for an instance of a model that is not the target of the relation ``field``."""
        model, related = self.model(value), field.related_model
        if not issubclass(model, related._meta.concrete_model):
            raise ValueError(
                f'Cannot assign an instance of "{model.__name__}": "{field.model.__name__}.{field.name}" must be a '
                f'"{related.__name__}" instance.'
            )

    def row(self, value: Any) -> Model:
        """Return the instance, loaded in the scope of the client; raises MissingRow if the client does not see it."""
        return value if isinstance(value, Model) else self._load([value])[value]

    def rows(self, value: Any) -> Any:
        """Return ``value`` with each reference replaced by its row, at any depth; raises Django's DoesNotExist.

        The rows are loaded by one statement for each model.
        """
        references = {item for item in instances_in(value) if type(item) is Reference}
        if not references:
            return value
        try:
            loaded = self._load(references)
        except MissingRow as error:
            model = error.args[1]
            raise model.DoesNotExist(f"{model._meta.object_name} matching query does not exist.") from None
        return replaced(value, lambda item: loaded[item] if type(item) is Reference else item)

    def identities(self, value: Any) -> Any:
        """Return ``value`` with each instance and reference replaced by what Django compares it by."""
        if not holds_instance(value):
            return value
        return replaced(value, lambda item: self.identity(item) if is_instance(item) else item)

    def _load(self, references: Iterable[Reference], *, partial: bool = False) -> dict[Reference, Model]:
        """Return the row of each reference; raises MissingRow for a missing row, unless ``partial``."""
        loaded: dict[Reference, Model] = {}
        keys: dict[type[Model], dict[Reference, Any]] = {}
        for reference in references:
            if reference.model == CONTENT_TYPE and self._is_natural(reference):
                loaded[reference] = self._content_type(reference)
            else:
                keys.setdefault(self.model(reference), {})[reference] = self.key(reference)
        for model, model_keys in keys.items():
            rows = self._fetch(model, list(model_keys.values()))
            for reference, key in model_keys.items():
                if key in rows:
                    loaded[reference] = rows[key]
                elif not partial:
                    raise MissingRow("No row that this client sees has this key.", model)
        return loaded

    def _fetch(self, model: type[Model], keys: list[Any]) -> dict[Any, Model]:
        if self.ev.policy.view(model) is None:
            return {}
        instances: dict[Any, Model] = {}
        keys = [key for key in keys if type(key) is not int or -(2**63) <= key < 2**63]  # SQLite fails for others
        for start in range(0, len(keys), _BATCH):
            queryset: QuerySet = self.ev.objects(model).order_by().filter(pk__in=keys[start : start + _BATCH])
            queryset.query.all_columns = True
            instances.update({instance.pk: instance for instance in queryset})
        return instances

    def _is_natural(self, reference: Reference) -> bool:
        return type(reference.key) is str and "." in reference.key

    def _content_type(self, reference: Reference) -> Model:
        """Return the content type of a model that this client may use."""
        model = self.ev.policy.model(reference.key)
        manager: Any = apps.get_model(CONTENT_TYPE)._default_manager
        return manager.get_for_model(model, for_concrete_model=False)

    def knows_content_type(self, model: type[Model], key: Any) -> bool:
        """Return True if ``model`` is ContentType, and ``key`` is the key of a model that this client may use."""
        if model._meta.label != CONTENT_TYPE or not isinstance(key, int):
            return False
        try:
            natural_key = model._default_manager.get_for_id(key).natural_key()
            self.ev.policy.model(".".join(natural_key))
        except (model.DoesNotExist, UnknownModel):
            return False
        return True


def primary_key(record: Record) -> Any:
    """Return the primary key in a record; None if the record has no key, or this service does not have the model."""
    try:
        model = apps.get_model(record.model)
    except (LookupError, ValueError):
        return None
    values = dict(zip(record.fields, record.values, strict=True))
    key = tuple([values.get(part.attname) for part in key_fields(model)])
    return None if None in key else key if len(key) > 1 else key[0]


def _part_of_key(model: type[Model], field: Any) -> int | None:
    """Return the position of ``field`` in the primary key of ``model``; -1 for the complete key, None for other fields.

    With multi-table inheritance, the key of a child model is also the key of each parent that it leads to.
    """
    parts = key_fields(model)
    if len(parts) > 1 and field in parts:
        return parts.index(field)
    key_field: Any = model._meta.pk
    while key_field is not field:
        if not key_field.is_relation or not issubclass(model, key_field.related_model):
            return None
        key_field = key_field.target_field
    return -1


def replaced(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return ``value`` with ``change(item)`` for each item, at any depth, that is neither plain nor a container.

    A container that several others hold is replaced once, by one new container.
    """
    replacements: dict[int, Any] = {}

    def replace(item: Any) -> Any:
        if type(item) in ATOMS:
            return item
        if id(item) not in replacements:
            replacements[id(item)] = map_children(item, replace) if isinstance(item, _CONTAINERS) else change(item)
        return replacements[id(item)]

    return replace(value)
