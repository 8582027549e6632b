"""The visitors of ``Save`` and ``Insert``: what a mirror's ``save()`` and ``bulk_create()`` become."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import django
from django.core.exceptions import FieldDoesNotExist, PermissionDenied
from django.db import DatabaseError, NotSupportedError, connections, router
from django.db.models import Model

from django_rpc.graph.node import Insert, Node, Save
from django_rpc.graph.values import ATOMS
from django_rpc.server.evaluate import generic
from django_rpc.server.evaluate.evaluator import Evaluator, is_claimed
from django_rpc.server.evaluate.writes import check_expression, check_target, confirm
from django_rpc.server.exposure import Exposure

__all__ = ["visit_insert", "visit_save"]


def visit_save(ev: Evaluator, node: Save) -> tuple[bool, dict[str, Any]]:
    """Save one row by the model's own ``save()``; the value is whether it is new, and what the client has to learn.

    That is the key, and each field that the client sent or asks for whose value is another after the save.
    """
    model = ev.policy.model(node.model)
    exposure = ev.policy.exposure(model)
    fields = {name: _field(exposure, name) for name in node.values}
    using = router.db_for_write(model)
    values = {field.attname: _value(ev, model, field, ev.resolve(node.values[name])) for name, field in fields.items()}
    instance = None if node.adding or node.force_insert else _existing(ev, model, values, using, node)
    creating = instance is None
    created = force_insert = False
    if creating:
        instance, force_insert, created = _new(ev, model, values, node)
    else:
        ev.policy.require(model, "update")
    update_fields = node.update_fields
    before = {} if creating else dict(instance.__dict__)
    saved = _assign(ev, exposure, instance, values, update_fields, creating)
    if node.raw:
        instance.save_base(raw=True, using=using, force_insert=force_insert, update_fields=update_fields)
    else:
        # A model's own save() may take fewer arguments than Django's: it gets those that say something.
        options = {"force_insert": force_insert, "force_update": node.force_update, "update_fields": update_fields}
        if using != router.db_for_write(model, instance=instance):
            options["using"] = using
        instance.save(**{k: v for k, v in options.items() if v not in (False, None)})
    confirm(ev, model, [instance.pk])
    changed = [name for name, value in saved.items() if name not in before or before[name] != value]
    generic.confirm_targets(ev, model, [instance.pk], changed)
    # What the client does not know the value of: it named a node, and not a value; and what other nodes take from here.
    taken = ev.taken_from.get(node, ())
    known = {k: value for k, value in saved.items() if k not in taken and not isinstance(node.values.get(k), Node)}
    return created, _changed(ev, exposure, instance, known, saved.keys() - known.keys())


def _field(exposure: Exposure, name: str) -> Any:
    field = exposure.settable.get(name)
    if field is None:
        raise FieldDoesNotExist(f"{exposure.opts.object_name} has no field named '{name}'")
    return field


def _value(ev: Evaluator, model: type[Model], field: Any, value: Any) -> Any:
    """A value as the instance would hold it; expressions stay."""
    if isinstance(value, Model):
        value = getattr(value, field.target_field.attname) if field.is_relation else value.pk
    if value is None or hasattr(value, "resolve_expression"):
        check_expression(ev, model, value)
        return value
    return field.to_python(value)


def _key(model: type[Model], values: dict[str, Any]) -> Any:
    """The key among ``values``; None where it, or a part of a composite one, is not known."""
    parts = getattr(model._meta, "pk_fields", ())  # since Django 5.2
    if len(parts) < 2:
        return values.get(model._meta.pk.attname)
    key = tuple([values.get(part.attname) for part in parts])
    return None if None in key else key


def _existing(ev: Evaluator, model: type[Model], values: dict[str, Any], using: str, node: Save) -> Model | None:
    """The row to be saved, complete; None if it is gone, and then it is made anew, as Django does."""
    key = _key(model, values)
    if key is None:
        return None
    rows = ev.policy.rows(model)
    queryset = rows.using(using) if rows is not None else model._base_manager.using(using)
    if rows is None and connections[using].features.has_select_for_update:
        queryset = queryset.select_for_update()
    found = next(iter(queryset.filter(pk=key).order_by()), None)
    if found is None:
        _refuse_update(node)
    return found


def _refuse_update(node: Save) -> None:
    """Django's error for an update that finds no row; here, also where there is one that the client does not see."""
    if node.force_update:
        raise DatabaseError("Forced update did not affect any rows.")
    if node.update_fields:
        raise DatabaseError("Save with update_fields did not affect any rows.")


def _forced(ev: Evaluator, node: Save) -> Any:
    if isinstance(node.force_insert, tuple):
        if django.VERSION < (5, 0):  # which would take it for True
            raise ValueError("force_insert with classes is not of this service's release of Django.")
        return tuple([ev.policy.model(label) for label in node.force_insert])
    return node.force_insert


def _new(ev: Evaluator, model: type[Model], values: dict[str, Any], node: Save) -> tuple[Model, Any, bool]:
    """An instance, whether it must be inserted, and whether that makes a new row."""
    ev.policy.require(model, "create")
    key = _key(model, values)
    # Django would update a row that has this key: only where the client may update, and sees the row.
    force, created = _forced(ev, node), True
    if key is not None and not force:
        rows = ev.policy.rows(model)
        queryset = rows if rows is not None else model._base_manager.all()
        created = not (ev.policy.can(model, "update") and queryset.filter(pk=key).exists())
        # Without the update that Django tries first: it could reach a row that the client does not see.
        force = created
    if created:
        _refuse_update(node)
        if key is not None:
            _check_parents(ev, model, key)
    return _with_defaults(ev, model, values), force, created


def _with_defaults(ev: Evaluator, model: type[Model], values: dict[str, Any]) -> Model:
    """A new instance.  The default of a field that will be set is not made: it may count, or take a number."""
    writable = ev.policy.exposure(model).writable  # type: ignore[union-attr]
    return model(**{name: value for name, value in values.items() if value is not None and name in writable})


def _check_parents(ev: Evaluator, model: type[Model], key: Any) -> None:
    """By multi-table inheritance, the row of a parent that is there already would be updated."""
    for parent in model._meta.get_parent_list():
        if parent._base_manager.filter(pk=key).exists():
            rows = ev.policy.rows(parent)
            if not ev.policy.can(parent, "update") or (rows is not None and not rows.filter(pk=key).exists()):
                raise PermissionDenied(f"This client may not update {parent._meta.label}.")


def _assign(
    ev: Evaluator,
    exposure: Exposure,
    instance: Model,
    values: dict[str, Any],
    update_fields: tuple[str, ...] | None,
    creating: bool,
) -> dict[str, Any]:
    """Set what the client may set; returns what the instance then holds of it."""
    held = {}
    for attname, value in values.items():
        field = exposure.settable[attname]
        if update_fields is not None and not {field.name, attname} & set(update_fields) and not field.primary_key:
            continue
        before = instance.__dict__.get(attname)
        if attname not in exposure.writable and not (field.primary_key and not creating):
            # A mirror sends all its fields; only a change of what may not be changed is a mistake.
            if value != before and not (creating and _is_empty(field, value)):
                raise _read_only(exposure, field)
            held[attname] = value
            continue
        if creating and value is None and field.primary_key:
            continue
        if creating or value != before or hasattr(value, "resolve_expression"):
            check_target(ev, field, value)
        _set(instance, field, value, values)
        held[attname] = value
    return held


def _read_only(exposure: Exposure, field: Any) -> PermissionDenied:
    return PermissionDenied(f"{exposure.label}.{field.name} is read-only.")


def _set(instance: Model, field: Any, value: Any, values: dict[str, Any]) -> None:
    """An image whose width and height come with it is not read for them, as it is not where a row is loaded."""
    measured = [name for name in (getattr(field, "width_field", None), getattr(field, "height_field", None)) if name]
    if measured and all(name in values for name in measured):
        instance.__dict__[field.attname] = value
    else:
        setattr(instance, field.attname, value)


def _is_empty(field: Any, value: Any) -> bool:
    return value in field.empty_values or (not callable(field.default) and value == field.default)


def _changed(
    ev: Evaluator, exposure: Exposure, instance: Model, sent: dict[str, Any], unknown: Set[str]
) -> dict[str, Any]:
    key = exposure.opts.pk.attname
    asked = _asked(ev, exposure) | unknown
    changed = {key: getattr(instance, key)}
    for attname, field in exposure.by_attname.items():
        if attname not in sent and attname not in asked and not field.primary_key:  # as a parent's key is
            continue
        value = instance.__dict__.get(attname)
        if hasattr(value, "resolve_expression") or attname in instance.get_deferred_fields():
            continue
        if type(value) not in ATOMS and not isinstance(value, dict | list):
            value = field.get_prep_value(value)
        if attname not in sent or type(value) is not type(sent[attname]) or value != sent[attname]:
            changed[attname] = value
    return changed


def _asked(ev: Evaluator, exposure: Exposure) -> frozenset[str]:
    shapes = {label.lower(): names for label, names in ev.request.shapes.items()}
    return frozenset(shapes.get(exposure.opts.label_lower, ()))


def visit_insert(ev: Evaluator, node: Insert) -> list[tuple[Any, ...]]:
    """``bulk_create``: the ``returning`` values of each row."""
    model = ev.policy.model(node.model)
    exposure = ev.policy.require(model, "create")
    fields = [_field(exposure, name) for name in node.fields]
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
    fields = [field for field in fields if field.attname in exposure.writable]
    _check_targets(ev, fields, instances)
    for field in generic.written(model, node.fields):
        kind = model._meta.get_field(field.ct_field).attname
        generic.check_pairs(ev, [(getattr(one, kind), getattr(one, field.fk_field)) for one in instances])
    rows = model._base_manager.using(router.db_for_write(model))
    if any(parent._meta.concrete_model is not model._meta.concrete_model for parent in model._meta.get_parent_list()):
        rows._insert(instances, fields=fields, using=rows.db, raw=True)  # the child's part alone: save_base(raw=True)
    else:
        rows.bulk_create(instances, **options)
    if node.on_conflict is None:
        confirm(ev, model, [instance.pk for instance in instances if instance.pk is not None])
    returning = [exposure.opts.pk if name == "pk" else exposure.opts.get_field(name) for name in node.returning]
    return [tuple([_out(field, instance) for field in returning]) for instance in instances]


def _out(field: Any, instance: Model) -> Any:
    value = getattr(instance, field.attname)
    if hasattr(value, "resolve_expression"):
        return None  # a default of the database that it does not give back
    return value if type(value) in ATOMS or isinstance(value, dict | list) else field.get_prep_value(value)


def _on_conflict(ev: Evaluator, exposure: Exposure, node: Insert) -> dict[str, Any]:
    if node.on_conflict is not None and ev.policy.rows(exposure.model) is not None:
        # Rows of others could be overwritten; and which rows were inserted, to be looked at, nobody can tell.
        raise NotSupportedError(
            f"{exposure.label}: no {node.on_conflict}_conflicts where a client sees some rows only."
        )
    if node.on_conflict == "ignore":
        return {"ignore_conflicts": True}
    if node.on_conflict == "update":
        ev.policy.require(exposure.model, "update")
        for name in node.update_fields:
            if name not in exposure.writable:
                raise PermissionDenied(f"{exposure.label}.{name} is read-only.")
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
        held = _value(ev, model, field, ev.resolve(value))
        if field.attname in exposure.writable:
            values[field.attname] = held
        elif not _is_empty(field, held):
            raise _read_only(exposure, field)
    return model(**values)


def _check_targets(ev: Evaluator, fields: list[Any], instances: list[Model]) -> None:
    for field in fields:
        if field.is_relation:
            values = {getattr(i, field.attname) for i in instances if not is_claimed(i)}
            for value in values:
                check_target(ev, field, value)
