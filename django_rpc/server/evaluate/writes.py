"""Methods of a query that write. The service's code writes the rows: ``save()``, signals, defaults.

`assignment` has the checks of the values before a write, and of the rows after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist, FieldError, PermissionDenied, ValidationError
from django.db import connections, router
from django.db.models import Model, QuerySet

from django_rpc.server.django_compat import (
    clone,
    has_create_defaults,
    refuse_combined,
    selects_columns,
)
from django_rpc.server.evaluate import assignment, parents
from django_rpc.server.evaluate import generic_foreign_keys as generic
from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.server.policy.references import holds_instance
from django_rpc.server.query.client_query import trusted

__all__ = ["METHODS", "deleted", "prepare", "through_manager"]


def prepare(ev: Evaluator, model: type[Model], values: dict[str, Any], *, check: bool = True) -> dict[str, Any]:
    """Return values for fields of ``model``, with checked keys in place of instances.

    The value of a column has precedence over the value of its relation, as in ``Model.__init__()``. A relation without
    a column, like a generic foreign key, is set to a row that the client sees.
    """
    prepared = {}
    for name, value in values.items():
        field = model._meta.pk if name == "pk" else model._meta.get_field(name)
        assignment.check_key(field, value)
        if holds_instance(value):
            if field.many_to_one and not field.concrete:
                prepared[name] = _row(ev, field, value)
                continue
            has_column_value = name != field.attname and field.attname in values
            name, value = field.attname, assignment.column_value(ev, field, value)
            if has_column_value:
                assignment.check_target(ev, field, value)
                continue
        assignment.check_target(ev, field, value)
        if check:
            assignment.check_expression(ev, model, value)
        prepared[name] = value
    return prepared


def _row(ev: Evaluator, field: Any, value: Any) -> Model:
    """Return the row for a relation without a column; raises ValidationError if the client does not see it."""
    row: Model = ev.references.rows(value)
    if field.related_model is not None:
        ev.references.check_model(row, field)
    if not isinstance(row, Model) or not ev.policy.shows(row):
        raise ValidationError(
            "instance with key %(value)r does not exist.", code="invalid", params={"value": getattr(row, "pk", None)}
        )
    return row


def _unexpected(model: type[Model]) -> Callable[[str], Exception]:
    return lambda name: TypeError(f"{model.__name__}() got unexpected keyword arguments: '{name}'")


def _no_field(model: type[Model]) -> Callable[[str], Exception]:
    return lambda name: FieldDoesNotExist(f"{model._meta.object_name} has no field named '{name}'")


def _invalid(model: type[Model]) -> Callable[[str], Exception]:
    return lambda name: FieldError(f"Invalid field name(s) for model {model._meta.object_name}: '{name}'.")


def through_manager(
    ev: Evaluator,
    queryset: QuerySet,
    manager: Any,
    name: str,
    args: list[Any],
    kwargs: dict[str, Any],
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """Call ``create`` on a manager, or ``get_or_create`` or ``update_or_create`` on the client's query."""
    model = queryset.model
    exposure = ev.policy.require(model, "create")
    if name == "create":
        if args:
            raise TypeError("create() takes keyword arguments only.")
        assignment.check_writable(exposure, kwargs, _unexpected(model))
        prepared = parents.complete_keys(model, prepare(ev, model, kwargs))
        parents.check_new_row(ev, model, parents.saved_keys(model, prepared))
        instance = manager.create(**prepared, **options)
        assignment.confirm(ev, model, [instance.pk], kwargs)
        return instance
    kwargs = dict(zip(("defaults", "create_defaults"), args, strict=False)) | kwargs
    lookup = {key: value for key, value in kwargs.items() if key not in ("defaults", "create_defaults")}
    defaults = {key: kwargs[key] or {} for key in ("defaults", "create_defaults") if key in kwargs}
    exact = {key: value for key, value in lookup.items() if "__" not in key}
    for values in (exact, *defaults.values()):
        assignment.check_writable(exposure, values, _invalid(model))
    keys, owners = _lookup_keys(ev, model, exact)
    queryset = queryset.filter(**owners) if owners else queryset
    lookup = {**{key: value for key, value in lookup.items() if "__" in key}, **keys}
    given = {key: prepare(ev, model, values) for key, values in defaults.items()}
    has_new_key = False
    if name == "update_or_create":
        ev.policy.require(model, "update")
        has_new_key = _has_new_key(queryset, lookup, given.get("defaults", {}))
    _check_parents(ev, queryset, lookup, {**keys, **given.get("create_defaults", given.get("defaults", {}))})
    # The client's query does the lookup. Django writes the row by the model's save().
    instance, created = _OR_CREATE[name](ev.complete(queryset), lookup, given)
    if has_new_key and not created:  # another transaction made the row after the check
        raise _key_is_kept(model)
    written = (exact if created else {}, *defaults.values()) if created or name == "update_or_create" else ()
    assignment.confirm(ev, model, [instance.pk], {name for values in written for name in values})
    return instance, created


def _has_new_key(queryset: QuerySet, lookup: dict[str, Any], defaults: dict[str, Any]) -> bool:
    """Return True if ``defaults`` have a key for a new row; raise PermissionDenied if an existing row has another key.

    Django would save all columns of the row under the other key, also those that the client may not write.
    """
    keys = {name: value for name, value in defaults.items() if parents.is_key(queryset.model, name)}
    if not keys:
        return False
    rows = queryset.filter(**lookup)
    if rows.exclude(**keys).exists():
        raise _key_is_kept(queryset.model)
    return not rows.exists()


def _check_parents(ev: Evaluator, queryset: QuerySet, lookup: dict[str, Any], values: dict[str, Any]) -> None:
    """Check the keys of the new row that is made of ``values`` if the lookup finds no row."""
    keys = parents.saved_keys(queryset.model, values)
    if keys and not queryset.filter(**lookup).exists():
        parents.check_new_row(ev, queryset.model, keys)


def _update_or_create(queryset: QuerySet, lookup: dict[str, Any], given: dict[str, Any]) -> tuple[Model, bool]:
    """Call Django's method; before Django 5.0, which has no ``create_defaults``, in two steps of the transaction."""
    if "create_defaults" not in given or has_create_defaults:
        return queryset.update_or_create(**lookup, **given)
    made = queryset.select_for_update().get_or_create(given["create_defaults"], **lookup)
    return made if made[1] else queryset.update_or_create(given.get("defaults"), **lookup)


_OR_CREATE: dict[str, Callable[..., tuple[Model, bool]]] = {
    "get_or_create": lambda queryset, lookup, given: queryset.get_or_create(**lookup, **given),
    "update_or_create": _update_or_create,
}


def _lookup_keys(ev: Evaluator, model: type[Model], exact: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of a lookup that also make the new row, and the values that are only looked up.

    The targets of both are checked. A relation is only looked up if the lookup has a separate value for its column.
    """
    keys: dict[str, Any] = {}
    owners: dict[str, Any] = {}
    for name, value in exact.items():
        field = model._meta.pk if name == "pk" else model._meta.get_field(name)
        assignment.check_key(field, value)
        is_owner = holds_instance(value) and name != field.attname and field.attname in exact
        if holds_instance(value):
            name, value = field.attname, assignment.column_value(ev, field, value)
        if field.is_relation and field.concrete:
            assignment.check_target(ev, field, value)
        (owners if is_owner else keys)[name] = value
    return keys, owners


def _creating(name: str) -> Callable[..., Any]:
    def method(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if name == "create":
            manager = queryset.model._default_manager.using(router.db_for_write(queryset.model))
            return through_manager(ev, queryset, manager, name, args, kwargs)
        return through_manager(ev, queryset, None, name, args, kwargs)

    return method


def _keep_key(model: type[Model], values: dict[str, Any]) -> None:
    for name in values:
        if parents.is_key(model, name):
            raise _key_is_kept(model)


def _key_is_kept(model: type[Model]) -> PermissionDenied:
    return PermissionDenied(f"The key of a {model._meta.label} cannot be changed.")


def _checked_update(ev: Evaluator, queryset: QuerySet, kwargs: dict[str, Any]) -> dict[str, Any]:
    model = queryset.model
    assignment.check_writable(ev.policy.require(model, "update"), kwargs, _no_field(model))
    _keep_key(model, kwargs)
    return prepare(ev, model, kwargs, check=False)  # the UPDATE statement itself is audited, with its annotations


def _update(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> int:
    if args:
        raise TypeError("update() takes keyword arguments only.")
    values = _checked_update(ev, queryset, kwargs)
    if ev.policy.rows(queryset.model) is None and not generic.written(queryset.model, kwargs):
        return queryset.update(**values)
    refuse_combined(queryset, "update")
    if queryset.query.is_sliced:
        raise TypeError("Cannot update a query once a slice has been taken.")
    return _update_keys(ev, queryset, list(queryset.order_by().values_list("pk", flat=True)), values)


def _update_keys(ev: Evaluator, queryset: QuerySet, keys: list[Any], values: dict[str, Any]) -> int:
    """Update the rows with these keys; the client must see the rows before and after the update."""
    model = queryset.model
    base = _bare(queryset)
    # The values may contain expressions of the client, so the UPDATE is a client's query with all checks.
    done = sum(base.filter(pk__in=batch).update(**values) for batch in assignment.batches(keys))
    assignment.confirm(ev, model, keys, values)
    return done


def _bulk_update(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> int:
    """Visit ``bulk_update``; the arguments are the names of fields, and rows with the key and their values."""
    names, rows = args
    model = queryset.model
    exposure = ev.policy.require(model, "update")
    assignment.check_writable(exposure, names, _no_field(model))
    _keep_key(model, dict.fromkeys(names))
    fields = [model._meta.get_field(name) for name in names]
    instances = []
    for key, *values in rows:
        if holds_instance(key):
            raise TypeError("bulk_update() takes the values of primary keys, and no instances of a model, as keys.")
        instance = model()
        instance.pk = key
        for field, sent in zip(fields, values, strict=True):
            value = assignment.column_value(ev, field, sent)
            assignment.check_target(ev, field, value)
            setattr(instance, field.attname, value)
        instances.append(instance)
    if ev.policy.rows(model) is not None:
        keys = [instance.pk for instance in instances]
        seen = {
            key
            for batch in assignment.batches(keys)
            for key in queryset.filter(pk__in=batch).values_list("pk", flat=True)
        }
        instances = [instance for instance in instances if model._meta.pk.to_python(instance.pk) in seen]
        queryset = _bare(queryset)
    done = queryset.bulk_update(instances, [field.name for field in fields], kwargs.get("batch_size"))
    assignment.confirm(ev, model, [instance.pk for instance in instances], names)
    return done


def _bare(queryset: QuerySet) -> QuerySet:
    """Return the client's queryset without its conditions, for keys of rows that match the conditions."""
    bare = clone(queryset)
    bare.query = type(queryset.query)(queryset.model)
    return bare


def _getset(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> list[dict[str, Any]]:
    """Set values on all rows, and return the rows before the update: the key and the fields that were set."""
    if args or not kwargs:
        raise TypeError("getset() takes keyword arguments only, and needs at least one field to set.")
    values = _checked_update(ev, queryset, kwargs)
    refuse_combined(queryset, "getset")
    key = queryset.model._meta.pk.name
    reading = queryset.select_related(None)
    if connections[queryset.db].features.has_select_for_update and ev.policy.rows(queryset.model) is None:
        reading = reading.select_for_update()
    rows = list(reading.values(key, *(name for name in kwargs if name != key)))
    _update_keys(ev, queryset, [row[key] for row in rows], values)
    return rows


def _delete(ev: Evaluator, queryset: QuerySet, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if args or kwargs:
        raise TypeError("delete() of a query takes no arguments.")
    ev.policy.require(queryset.model, "delete")
    for refused, text in (
        (queryset.query.is_sliced, "Cannot use 'limit' or 'offset' with delete()."),
        (queryset.query.distinct_fields, "Cannot call delete() after .distinct(*fields)."),
        (selects_columns(queryset), "Cannot call delete() after .values() or .values_list()"),
    ):
        if refused:
            raise TypeError(text)
    refuse_combined(queryset, "delete")
    return deleted(ev, trusted(queryset).delete())


def deleted(ev: Evaluator, result: Any) -> Any:
    """Return the result of ``delete()`` without the models that are hidden from the client."""
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
        return result  # the result of a delete() of the project's model
    visible_counts = {
        label: count for label, count in result[1].items() if ev.policy.view(apps.get_model(label)) is not None
    }
    return sum(visible_counts.values()), visible_counts


METHODS: dict[str, Callable[[Evaluator, QuerySet, list[Any], dict[str, Any]], Any]] = {
    **{name: _creating(name) for name in ("create", "get_or_create", "update_or_create")},
    "update": _update,
    "bulk_update": _bulk_update,
    "getset": _getset,
    "delete": _delete,
}
