"""Methods and attributes of model instances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model

from django_rpc.server.evaluate.evaluator import Evaluator
from django_rpc.server.evaluate.relations import Relation, know_parent, no_related_row
from django_rpc.server.evaluate.writes import deleted
from django_rpc.server.policy.client_policy import relation_named
from django_rpc.server.query.loaded_relations import forget_related, is_loaded, loaded_with, remember

__all__ = ["METHODS", "attribute"]


def _save(ev: Evaluator, instance: Model, args: list[Any], kwargs: dict[str, Any]) -> Model:
    """Save an instance that is in the database already, to run the service's ``save()`` and signals."""
    if args or kwargs:
        raise TypeError("save() of an instance of the graph takes no arguments.")
    ev.policy.require(type(instance), "update")
    forget_related(instance).save()
    return instance


def _delete(ev: Evaluator, instance: Model, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if args or kwargs.keys() - {"keep_parents"}:
        raise TypeError("delete() of an instance of the graph takes keep_parents and nothing else.")
    ev.policy.require(type(instance), "delete")
    return deleted(ev, forget_related(instance).delete(**{name: True for name, on in kwargs.items() if on}))


def _refresh(ev: Evaluator, instance: Model, args: list[Any], kwargs: dict[str, Any]) -> Model:
    queryset = ev.objects(type(instance))
    queryset.query.all_columns = True
    return queryset.get(pk=instance.pk)


METHODS: dict[str, Callable[[Evaluator, Any, list[Any], dict[str, Any]], Any]] = {
    "save": _save,
    "delete": _delete,
    "refresh": _refresh,
}


def attribute(ev: Evaluator, instance: Model, name: str) -> Any:
    """Return ``instance.name``: a field, a relation, a computed field or an annotation that the client may see.

    Raises AttributeError, with the same text for hidden and unknown names.
    """
    model = type(instance)
    view = ev.policy.view(model)
    loaded = loaded_with(instance)
    if name in loaded.names or (name in loaded.relations and name in instance.__dict__):
        return instance.__dict__[name]
    if view is not None and name in view.computed:
        return view.computed[name](instance)
    if name == "pk":
        return instance.pk
    try:
        if view is not None and name in view.by_attname:
            if hasattr(instance.__dict__.get(name), "resolve_expression"):  # saved, and not loaded again
                instance.refresh_from_db(fields=[name])
            return getattr(instance, name)
        return _relation(ev, instance, name)
    except FieldDoesNotExist:
        raise AttributeError(f"'{model.__name__}' object has no attribute '{name}'") from None


def _relation(ev: Evaluator, instance: Model, name: str) -> Any:
    field = relation_named(ev.policy, type(instance), name)
    if field.many_to_many or field.one_to_many:
        return Relation(instance, name, field)
    forward = not (field.auto_created and not field.concrete)
    loaded = loaded_with(instance).relations.get(name)
    if loaded is not None and is_loaded(instance, name):
        related = getattr(instance, name)  # came with the instance, through the client's own query
        return related if related is None else know_parent(remember(related, loaded), field, instance)
    queryset = ev.objects(field.related_model)
    queryset.query.all_columns = True
    if forward:
        conditions = {}
        for source, target in field.related_fields:
            value = getattr(instance, source.attname)
            if value is None:
                return None
            conditions[target.attname] = value
        return know_parent(queryset.get(**conditions), field, instance)
    try:
        return know_parent(queryset.get(**{field.remote_field.name: instance}), field, instance)
    except field.related_model.DoesNotExist:
        raise no_related_row(instance, field) from None
