"""Reads of a relation of many instances in one statement, like ``order.customer`` of each order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model

from django_rpc.server.evaluate.environment import Failed, Failure
from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.server.evaluate.key_columns import Key, NoKey, is_loose, made, room
from django_rpc.server.evaluate.relations import Relation, know_parent, no_related_row
from django_rpc.server.policy.client_policy import relation_named
from django_rpc.server.query.loaded_relations import loaded_with

if TYPE_CHECKING:
    from django_rpc.server.evaluate.scheduler import Engine, Lane

__all__ = ["key_of_relation", "read"]


def key_of_relation(ev: Evaluator, relation: Relation) -> Key:
    """Return the key of the rows of a to-many relation; raises NoKey if the relation has no such key."""
    field = relation.field
    if relation.is_generic:
        raise NoKey("a generic relation")
    if relation.prefetched is not None:
        raise NoKey("a relation that was prefetched by a query")
    if field.one_to_many:
        foreign = field.remote_field
        if len(foreign.foreign_related_fields) != 1:
            raise NoKey("a foreign key of several columns")
        return made(relation.model, foreign.name, foreign)
    manager = relation.manager
    targets = manager.source_field.foreign_related_fields
    owner = targets[0].model
    if len(targets) != 1 or not targets[0].primary_key:
        raise NoKey("a relation by something else than keys")
    key = made(owner, manager.query_field_name, targets[0])
    return Key(key.path, key.field, owner, targets[0].attname)


def read(engine: Engine, lanes: Sequence[Lane]) -> list[Any] | None:
    """Return ``parent.name`` of each lane if it is a single related row; None for any other attribute."""
    node = lanes[0][0]
    parents, results = _parents(engine, lanes)
    models = {type(parent) for parent in parents.values()}
    if len(models) != 1 or not issubclass(model := models.pop(), Model):
        return None
    field = _relation_to_one(engine.ev, model, node.name)  # type: ignore[attr-defined]
    if field is None:
        return None
    if is_loose(field.related_model, (field if field.concrete else field.remote_field).related_fields[0][1]):
        return None  # the database may find a foreign key equal to a key that differs in Python
    engine.ev.position = engine.place[node]
    wanted: dict[int, Any] = {}
    forward = not (field.auto_created and not field.concrete)
    source, target = field.related_fields[0] if forward else field.remote_field.related_fields[0]
    for index, parent in parents.items():
        if node.name in loaded_with(parent).relations:  # type: ignore[attr-defined]
            results[index] = engine.single(*lanes[index])
        elif forward:
            wanted[index] = getattr(parent, source.attname)
        else:
            wanted[index] = getattr(parent, target.attname)
    path = target.attname if forward else field.remote_field.attname
    found = _fetch(engine.ev, field.related_model, path, set(wanted.values()) - {None})
    for index, value in wanted.items():
        if value in found:
            results[index] = know_parent(found[value], field, parents[index])
        elif value is not None or not forward:
            name = field.related_model._meta.object_name
            error = field.related_model.DoesNotExist(f"{name} matching query does not exist.")
            if not forward:
                error = no_related_row(parents[index], field)
            results[index] = Failure(error, engine.place[lanes[index][0]])
    return results


def _parents(engine: Engine, lanes: Sequence[Lane]) -> tuple[dict[int, Any], list[Any]]:
    results: list[Any] = [None] * len(lanes)
    parents = {}
    for index, (node, frame, row) in enumerate(lanes):
        engine.cells.frame, engine.cells.row = frame, row
        try:
            parents[index] = engine.cells[node.parent]  # type: ignore[attr-defined]
        except Failed as failed:
            results[index] = failed.failure
    return parents, results


def _relation_to_one(ev: Evaluator, model: type[Model], name: str) -> Any:
    """Return the field of a to-one relation of ``model`` under ``name``; None for all other attributes."""
    view = ev.policy.view(model)
    if view is None or name in view.computed or name in view.by_attname or name == "pk":
        return None
    try:
        field = relation_named(ev.policy, model, name)
    except FieldDoesNotExist:
        return None
    if field.many_to_many or field.one_to_many:
        return None
    pairs = field.related_fields if field.concrete else field.remote_field.related_fields
    return field if len(pairs) == 1 else None


def _fetch(ev: Evaluator, model: type[Model], attname: str, values: set[Any]) -> dict[Any, Any]:
    instances: dict[Any, Any] = {}
    ordered = list(values)
    objects = ev.objects(model)
    size = room(objects.db)
    for start in range(0, len(ordered), size):
        queryset = objects.filter(**{f"{attname}__in": ordered[start : start + size]}).order_by()
        queryset.query.all_columns = True
        instances.update({getattr(instance, attname): instance for instance in queryset})
    return instances
