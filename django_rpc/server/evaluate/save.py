"""Visitors of ``Save`` and ``Insert``, the nodes of a mirror's ``save()`` and ``bulk_create()``."""

from __future__ import annotations

import functools
from collections.abc import Set
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import DatabaseError, NotSupportedError, connections, router
from django.db.models import Model

from django_rpc.graph.nodes import Insert, Node, Save
from django_rpc.graph.values import ATOMS
from django_rpc.server.django_compat import (
    has_db_default,
    has_force_insert_of_parents,
    insert_rows,
    is_generated,
    key_fields,
)
from django_rpc.server.evaluate import assignment, parents
from django_rpc.server.evaluate import generic_foreign_keys as generic
from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.server.registry.exposure import Exposure
from django_rpc.server.visitors import visits

__all__ = ["has_default_key", "visit_insert", "visit_save"]


@visits(Save)
def visit_save(ev: Evaluator, node: Save) -> tuple[bool, dict[str, Any]]:
    """Save one row by the model's ``save()``; return True for a new row, and the values that the client has to learn.

    These are the key, and each field that the client sent or requested if its value has changed by the save. A client
    that may not read the model learns only the key.
    """
    model = ev.policy.model(node.model)
    exposure = ev.policy.exposed(model)
    fields = {name: _field(exposure, name) for name in node.values}
    _check_update_fields(exposure, node)
    using = router.db_for_write(model)
    values = {field.attname: _value(ev, model, field, ev.resolve(node.values[name])) for name, field in fields.items()}
    keys = parents.saved_keys(model, values)
    instance = _existing(ev, model, {**values, **keys}, using, node)
    created, force_insert = instance is None, False
    if created:
        instance, force_insert = _new(ev, model, values, keys, node)
    else:
        ev.policy.require(model, "update")
        parents.check_same_keys(model, instance, keys)
    update_fields = node.update_fields
    saved = _assign(ev, exposure, instance, values, keys, node)
    for name in keys if created else ():
        setattr(instance, name, keys[name])
    if node.raw:
        instance.save_base(raw=True, using=using, force_insert=force_insert, update_fields=update_fields)
    else:
        # A project's save() may have fewer parameters than Django's, so it gets only the options that are set.
        options = {"force_insert": force_insert, "force_update": node.force_update, "update_fields": update_fields}
        if using != router.db_for_write(model, instance=instance):
            options["using"] = using
        instance.save(**{k: v for k, v in options.items() if v not in (False, None)})
    assignment.confirm(ev, model, [instance.pk], [name for name, (_, changes) in saved.items() if changes])
    sent = {name: value for name, (value, _) in saved.items()}
    taken: Set[str] = ev.taken_from.get(node, frozenset())
    if ev.policy.view(model) is None:
        return created, _keys_alone(exposure, instance, {name: sent[name] for name in taken & sent.keys()})
    # Values that the client does not know: it sent a node in place of the value, or other nodes use the saved value.
    known = {k: value for k, value in sent.items() if k not in taken and not isinstance(node.values.get(k), Node)}
    # A new instance also gets the values that the service fills. Other instances keep what they do not save.
    filled = _asked(ev, exposure) if node.adding and update_fields is None else frozenset()
    return created, _changed(exposure, instance, known, filled | (sent.keys() - known.keys()))


def _field(exposure: Exposure, name: str) -> Any:
    field = exposure.settable.get(name)
    if field is None:
        raise FieldDoesNotExist(f"{exposure.opts.object_name} has no field named '{name}'")
    return field


def _check_update_fields(exposure: Exposure, node: Save) -> None:
    """Raise Django's error for unknown names of ``update_fields``; a hidden name is an unknown one."""
    names = {name for field in exposure.settable.values() for name in (field.name, field.attname)}
    unknown = [
        name for name in node.update_fields or () if name not in names or exposure.opts.get_field(name).primary_key
    ]
    if unknown:
        raise ValueError(
            "The following fields do not exist in this model, are m2m fields, primary keys, or are non-concrete "
            f"fields: {', '.join(unknown)}"
        )


def _value(ev: Evaluator, model: type[Model], field: Any, value: Any) -> Any:
    """Return a value as the instance holds it; an expression is checked and returned unchanged."""
    value = assignment.column_value(ev, field, value)
    if value is None or hasattr(value, "resolve_expression"):
        assignment.check_key(field, value)
        assignment.check_expression(ev, model, value)
        return value
    return field.to_python(value)


def _key(model: type[Model], values: dict[str, Any]) -> Any:
    """Return the key among ``values``; None if the key, or a part of a composite key, is missing."""
    key = tuple([values.get(part.attname) for part in key_fields(model)])
    return None if None in key else key if len(key) > 1 else key[0]


def _existing(ev: Evaluator, model: type[Model], values: dict[str, Any], using: str, node: Save) -> Any:
    """Return the complete row to update; None if a new row is to be made, also for a deleted row, as in Django.

    Fields that the client does not send keep their values, also if the client considers the row to be new.
    """
    key = _key(model, values)
    if node.adding:
        ev.policy.require(model, "create")
    if key is None or _is_insert(model, node) or (node.adding and not ev.policy.can(model, "update")):
        return None
    rows = ev.policy.rows(model)
    queryset = rows.using(using) if rows is not None else model._base_manager.using(using)
    if rows is None and connections[using].features.has_select_for_update:
        queryset = queryset.select_for_update()
    row = next(iter(queryset.filter(pk=key).order_by()), None)
    if row is None:
        _refuse_update(node)
    return row


def _is_insert(model: Any, node: Save) -> bool:
    """Return True for a save that Django inserts without a look for the row.

    These are a forced insert, and a new instance of a model with a default for its key.
    """
    if node.force_insert:
        return True
    is_update = node.raw or node.force_update or node.update_fields
    return node.adding and not is_update and has_default_key(model)


@functools.cache
def has_default_key(model: Any) -> bool:
    """Return True if ``model`` or a parent has a default for each column of its primary key."""
    keys = [key_fields(table_model) for table_model in (model, *model._meta.get_parent_list())]
    return any(all(field.has_default() or has_db_default(field) for field in fields) for fields in keys)


def _refuse_update(node: Save) -> None:
    """Raise Django's error for an update without a row; the error for a hidden row is the same."""
    if node.force_update:
        raise DatabaseError("Forced update did not affect any rows.")
    if node.update_fields:
        raise DatabaseError("Save with update_fields did not affect any rows.")


def _forced(ev: Evaluator, node: Save) -> Any:
    if isinstance(node.force_insert, tuple):
        if not has_force_insert_of_parents:
            raise ValueError("This service's release of Django does not support force_insert with classes.")
        return tuple([ev.policy.model(label) for label in node.force_insert])
    return node.force_insert


def _new(
    ev: Evaluator, model: type[Model], values: dict[str, Any], keys: dict[str, Any], node: Save
) -> tuple[Model, Any]:
    """Return a new instance, and the value of ``force_insert`` for its save."""
    ev.policy.require(model, "create")
    _refuse_update(node)
    parents.check_new_row(ev, model, keys)
    instance = _with_defaults(ev, model, values)
    # With a key, also one of defaults, force the insert. Otherwise Django would first try an update, which could
    # change a row that the client does not see.
    force = _forced(ev, node) or _key(model, {**instance.__dict__, **keys}) is not None
    return instance, force


def _with_defaults(ev: Evaluator, model: type[Model], values: dict[str, Any]) -> Model:
    """Return a new instance. Defaults of fields with a value are not called: they may have effects, like counting."""
    writable = ev.policy.exposed(model).writable
    return model(**{name: value for name, value in values.items() if value is not None and name in writable})


def _assign(
    ev: Evaluator,
    exposure: Exposure,
    instance: Model,
    values: dict[str, Any],
    keys: dict[str, Any],
    node: Save,
) -> dict[str, tuple[Any, bool]]:
    """Set the fields that the client may set; return each sent value, and True if it may differ from the row's value.

    The result must not depend on a value of the row that the client may not read: it could find the value by trying.
    """
    view = ev.policy.view(exposure.model)
    readable = view.by_attname if view is not None else {}
    creating = instance._state.adding
    names = None if node.update_fields is None else set(node.update_fields)
    sent = {}
    for attname, value in values.items():
        field = exposure.settable[attname]
        is_key = field.primary_key or attname in keys
        if names is not None and not {field.name, attname} & names and not is_key:
            continue
        if is_key and not creating:  # the row was loaded by this key
            sent[attname] = value, False
            continue
        unknown = creating or attname not in readable
        changes = unknown or value != instance.__dict__.get(attname) or hasattr(value, "resolve_expression")
        if not _is_writable(exposure, attname, keys):
            # A mirror sends all its fields; it is an error only if the value of a read-only field has changed.
            if changes and not ((unknown or node.adding) and _is_empty(field, value)):
                raise assignment.read_only(exposure, field.name)
            sent[attname] = value, False
            continue
        if creating and value is None and field.primary_key:
            continue
        if changes:
            assignment.check_target(ev, field, value)
        _set(instance, field, value, values)
        sent[attname] = value, changes
    if node.adding and not creating and names is None:
        _reset(exposure, instance, values)
    return sent


def _reset(exposure: Exposure, instance: Model, values: dict[str, Any]) -> None:
    """Reset fields with a database default to the default of a new instance; a client sends no value for them."""
    for field in exposure.opts.concrete_fields:
        is_unsent = field.attname not in values and field.attname in exposure.writable and not field.primary_key
        if is_unsent and has_db_default(field):
            setattr(instance, field.attname, field.get_default())


def _is_writable(exposure: Exposure, attname: str, keys: dict[str, Any]) -> bool:
    """Return True if the client may set a field. A key may be set under all its names, or under none."""
    return attname in exposure.writable or (attname in keys and not exposure.writable.isdisjoint(keys))


def _set(instance: Model, field: Any, value: Any, values: dict[str, Any]) -> None:
    """Set a value; an image is not read for its width and height if the client sends these, as after a load."""
    measured = [name for name in (getattr(field, "width_field", None), getattr(field, "height_field", None)) if name]
    if measured and all(name in values for name in measured):
        instance.__dict__[field.attname] = value
    else:
        setattr(instance, field.attname, value)


def _is_empty(field: Any, value: Any) -> bool:
    return value in field.empty_values or (not callable(field.default) and value == field.default)


def _keys_alone(exposure: Exposure, instance: Model, sent: dict[str, Any]) -> dict[str, Any]:
    """Return the reply to a client that may not read the row: its keys, and those values that the client sent."""
    keys = {name: getattr(instance, name) for name, field in exposure.by_attname.items() if field.primary_key}
    values = {name: (exposure.settable[name], value) for name, value in sent.items() if name not in keys}
    plain = {n: _plain(field, v) for n, (field, v) in values.items() if not hasattr(v, "resolve_expression")}
    return {exposure.opts.pk.attname: instance.pk, **keys, **plain}


def _changed(exposure: Exposure, instance: Model, sent: dict[str, Any], requested: Set[str]) -> dict[str, Any]:
    key = exposure.opts.pk.attname
    changed = {} if hasattr(instance.pk, "resolve_expression") else {key: getattr(instance, key)}
    for attname, field in exposure.by_attname.items():
        if attname not in sent and attname not in requested and not field.primary_key:  # a parent's key is primary, too
            continue
        value = instance.__dict__.get(attname)
        if hasattr(value, "resolve_expression") or attname in instance.get_deferred_fields():
            continue
        value = _plain(field, value)
        if attname not in sent or type(value) is not type(sent[attname]) or value != sent[attname]:
            changed[attname] = value
    return changed


def _plain(field: Any, value: Any) -> Any:
    """Return a field's value in a form that the codec can encode."""
    return value if type(value) in ATOMS or isinstance(value, dict | list) else field.get_prep_value(value)


def _asked(ev: Evaluator, exposure: Exposure) -> frozenset[str]:
    shapes = {label.lower(): names for label, names in ev.request.shapes.items()}
    return frozenset(shapes.get(exposure.opts.label_lower, ()))


@visits(Insert)
def visit_insert(ev: Evaluator, node: Insert) -> list[tuple[Any, ...]]:
    """Visit the node of ``bulk_create``; return the ``returning`` values of each row."""
    model = ev.policy.model(node.model)
    exposure = ev.policy.require(model, "create")
    fields = [_field(exposure, name) for name in node.fields]
    if any(not _is_of_key(exposure, name) for name in node.returning):
        ev.policy.require(model, "read")
    for names, known in (
        (node.returning, exposure.names),
        (node.update_fields, exposure.names | exposure.writable),
        (node.unique_fields, exposure.filterable),
    ):
        for name in names:
            if name not in known:
                raise FieldDoesNotExist(f"{exposure.opts.object_name} has no field named '{name}'")
    options = _on_conflict(ev, exposure, node)
    instances = [_instance(ev, exposure, fields, row) for row in node.rows]
    links = [f.attname for f in fields if parents.is_key(model, f.attname)] if model._meta.parents else []
    for instance in instances if links else ():
        keys = parents.key_values(model, {name: instance.__dict__.get(name) for name in links})
        parents.check_new_row(ev, model, keys)
    fields = [field for field in fields if field.attname in exposure.writable]
    # A row that conflicts is updated with the values of the new row, including its defaults.
    updated = [model._meta.get_field(name) for name in node.update_fields]
    _check_targets(ev, [*fields, *updated], instances)
    for field in generic.written(model, (*node.fields, *node.update_fields)):
        kind = model._meta.get_field(field.ct_field).attname
        generic.check_pairs(ev, [(getattr(row, kind), getattr(row, field.fk_field)) for row in instances])
    _insert(ev, model, fields, instances, options)
    returning = [exposure.opts.pk if name == "pk" else exposure.opts.get_field(name) for name in node.returning]
    return [tuple([_out(field, instance) for field in returning]) for instance in instances]


def _insert(
    ev: Evaluator, model: type[Model], fields: list[Any], instances: list[Model], options: dict[str, Any]
) -> None:
    """Insert rows without ``save()`` and signals, and check that the client sees them."""
    opts, rows = model._meta, model._base_manager.using(router.db_for_write(model))
    if opts.concrete_model._meta.parents:
        if options:
            raise NotSupportedError(f"{opts.label}: rows of several tables are inserted without on_conflict.")
        insert_rows(
            rows, instances, fields=fields, using=rows.db, raw=True
        )  # only the child's table: save_base(raw=True)
    elif ev.policy.rows(model) is None or connections[rows.db].features.can_return_rows_from_bulk_insert:
        rows.bulk_create(instances, **options)
    else:
        # The database returns the key of a single row only. Without its key, a row cannot be checked.
        for instance in instances:
            with_key = [] if instance.pk is None else [opts.pk]
            given = [f for f in opts.local_concrete_fields if not f.primary_key and not is_generated(f)]
            returned = insert_rows(
                rows,
                [instance],
                fields=[*with_key, *given],
                using=rows.db,
                returning_fields=[] if with_key else [opts.pk],
            )
            for (key,) in returned:
                setattr(instance, opts.pk.attname, key)
    assignment.confirm(ev, model, [instance.pk for instance in instances])


def _is_of_key(exposure: Exposure, name: str) -> bool:
    field = exposure.by_attname.get(name)
    return name == "pk" or (field is not None and field.primary_key)


def _out(field: Any, instance: Model) -> Any:
    value = getattr(instance, field.attname)
    if hasattr(value, "resolve_expression"):
        return None  # a default that the database does not return
    return _plain(field, value)


def _on_conflict(ev: Evaluator, exposure: Exposure, node: Insert) -> dict[str, Any]:
    if node.on_conflict is not None and ev.policy.rows(exposure.model) is not None:
        # Hidden rows could be overwritten. And the inserted rows are unknown afterwards, so they could not be checked.
        raise NotSupportedError(
            f"{exposure.label}: no {node.on_conflict}_conflicts where a client sees some rows only."
        )
    if node.on_conflict == "ignore":
        return {"ignore_conflicts": True}
    if node.on_conflict == "update":
        ev.policy.require(exposure.model, "update")
        for field in generic.partly_written(exposure.model, node.update_fields):
            # The conflicting row has the other part, and the pair of both parts was not checked.
            raise NotSupportedError(f"{exposure.label}.{field.name}: on_conflict updates both of its parts, or none.")
        assignment.check_writable(exposure, node.update_fields, FieldDoesNotExist)
        return {
            "update_conflicts": True,
            "update_fields": list(node.update_fields),
            "unique_fields": list(node.unique_fields) or None,
        }
    return {}


def _instance(ev: Evaluator, exposure: Exposure, fields: list[Any], row: tuple[Any, ...]) -> Model:
    model, values = exposure.model, {}
    for field, value in zip(fields, row, strict=True):
        if value is None and field.primary_key:
            continue
        field_value = _value(ev, model, field, ev.resolve(value))
        if field.attname in exposure.writable:
            values[field.attname] = field_value
        elif not _is_empty(field, field_value):
            raise assignment.read_only(exposure, field.name)
    return model(**values)


def _check_targets(ev: Evaluator, fields: list[Any], instances: list[Model]) -> None:
    for field in fields:
        if field.is_relation:
            values = {getattr(instance, field.attname) for instance in instances}
            for value in values:
                assignment.check_target(ev, field, value)
