"""Physical read ``related instances``: a related row of many instances, like ``order.customer`` of each order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model

from django_rpc.server.evaluate.environment import Failure
from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.server.evaluate.relations import know_parent, no_related_row
from django_rpc.server.lowering.key_columns import is_loose, max_values
from django_rpc.server.lowering.physical_read import LogicalRead, NotPossible, is_attribute
from django_rpc.server.policy.client_policy import relation_named
from django_rpc.server.query.loaded_relations import loaded_with

if TYPE_CHECKING:
    from django_rpc.server.evaluate.scheduler import Scheduler

__all__ = ["RelatedInstance", "relation_to_one"]


class RelatedInstance:
    """The rows of a relation to one, of all instances, by their keys."""

    name: ClassVar[str] = "related instances"

    def matches(self, read: LogicalRead) -> bool:
        return is_attribute(read.node, read.template)

    def check(self, engine: Scheduler, read: LogicalRead) -> None:
        """Return always: only the class of the instances decides."""

    def describe(self, engine: Scheduler, read: LogicalRead) -> str:
        field = None if read.model is None else relation_to_one(engine.ev, read.model, _name(read))
        if field is None:
            raise NotPossible("it is no relation to one")
        return f"one statement for {field.related_model._meta.label}"

    def run(self, engine: Scheduler, read: LogicalRead) -> list[Any]:
        models = {type(equal.relation) for equal in read.reads}
        if len(models) != 1 or not issubclass(model := models.pop(), Model):
            raise NotPossible("its parents are no instances of one model")
        name = _name(read)
        field = relation_to_one(engine.ev, model, name)
        if field is None:
            raise NotPossible("it is no relation to one")
        engine.ev.position = engine.place[read.node]
        forward = not (field.auto_created and not field.concrete)
        source, target = field.related_fields[0] if forward else field.remote_field.related_fields[0]
        keys: dict[int, Any] = {}
        results: list[Any] = [None] * len(read.reads)
        for index, equal in enumerate(read.reads):
            if name in loaded_with(equal.relation).relations:
                results[index] = engine.single(*equal.binding)
            else:
                keys[index] = getattr(equal.relation, source.attname if forward else target.attname)
        path = target.attname if forward else field.remote_field.attname
        instances = _fetch(engine.ev, field.related_model, path, set(keys.values()) - {None})
        for index, key in keys.items():
            parent = read.reads[index].relation
            if key in instances:
                results[index] = know_parent(instances[key], field, parent)
            elif key is not None or not forward:
                text = f"{field.related_model._meta.object_name} matching query does not exist."
                error = field.related_model.DoesNotExist(text) if forward else no_related_row(parent, field)
                results[index] = Failure(error, engine.place[read.reads[index].binding[0]])
        return results


def _name(read: LogicalRead) -> str:
    name: str = read.node.name  # type: ignore[attr-defined]  # the kind of the node has it
    return name


def relation_to_one(ev: Evaluator, model: type[Model], name: str) -> Any:
    """Return the field of a relation of ``model`` to one row; None if SQL finds keys equal that differ in Python."""
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
    return field if len(pairs) == 1 and not is_loose(field.related_model, pairs[0][1]) else None


def _fetch(ev: Evaluator, model: type[Model], attname: str, keys: set[Any]) -> dict[Any, Any]:
    """Return the rows of ``model`` with these values of ``attname``, by the value."""
    instances: dict[Any, Any] = {}
    ordered = list(keys)
    objects = ev.objects(model)
    size = max_values(objects.db)
    for start in range(0, len(ordered), size):
        queryset = objects.filter(**{f"{attname}__in": ordered[start : start + size]}).order_by()
        queryset.query.all_columns = True
        instances.update({getattr(instance, attname): instance for instance in queryset})
    return instances
