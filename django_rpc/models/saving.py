"""One instance to the service and back: what ``save()`` and ``create()`` send, and what becomes of the answer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import connections
from django.db.models import QuerySet, signals
from django.db.models.expressions import BaseExpression

from django_rpc.graph.node import Save, callsite
from django_rpc.models.expressions import prepared_value
from django_rpc.models.options import options_of
from django_rpc.models.own_fields import loaded_value

__all__ = ["begin_save", "new_instance"]


def new_instance(model: Any, values: Mapping[str, Any]) -> Any:
    """``model(**values)``, where values may be futures and Delayed: the service gives them to its own instance."""
    reverse = getattr(model._meta, "_reverse_one_to_one_field_names", frozenset()).intersection(values)
    if reverse:
        names = ", ".join(sorted(reverse))
        raise ValueError(f"The following fields do not exist in this model: {names}")
    remote = {name: value for name, value in values.items() if _is_remote_value(value)}
    instance = model(**{name: value for name, value in values.items() if name not in remote})
    for name, value in remote.items():
        try:
            field = model._meta.pk if name == "pk" else model._meta.get_field(name)
        except FieldDoesNotExist:
            raise TypeError(f"{model.__name__}() got unexpected keyword arguments: {name!r}") from None
        instance.__dict__[field.attname] = value  # its descriptor would compare it
    return instance


def _is_remote_value(value: Any) -> bool:
    return hasattr(type(value), "__rpc_node__") and not isinstance(value, QuerySet)


def begin_save(
    instance: Any, using: str, *, names: frozenset[str] | None, raw: bool, force_insert: bool, force_update: bool
) -> tuple[Save, Callable[[Any], Any]]:
    """The node that saves ``instance``, and what to call with its value, which returns the instance.

    The first sends this client's ``pre_save``, the second its ``post_save``.
    """
    origin = type(instance)
    model = origin._meta.concrete_model
    options = options_of(model)
    assert options is not None
    sent = {"sender": origin, "raw": raw, "using": using, "update_fields": names}
    if not origin._meta.auto_created:
        signals.pre_save.send(instance=instance, **sent)
    node = Save(
        options.label,
        using,
        values=_values_to_save(instance, model, raw, names, connections[using]),
        adding=instance._state.adding,
        force_insert=force_insert,
        force_update=force_update,
        update_fields=None if names is None else tuple(sorted(names)),
        raw=raw,
        where=callsite(),
    )
    return node, functools.partial(_finish, instance, model, sent)


def _finish(instance: Any, model: Any, sent: dict[str, Any], answer: Any) -> Any:
    created, changed = answer
    connection = connections[sent["using"]]
    fields = {field.attname: field for field in model._meta.concrete_fields}
    for attname, value in changed.items():
        if attname in fields:
            instance.__dict__.pop(attname, None)  # a Delayed there must not be compared with
            setattr(instance, attname, loaded_value(fields[attname], value, connection))
    for attname in fields:
        if _is_database_default(instance.__dict__.get(attname)):
            del instance.__dict__[attname]  # the service did not say: it is read when it is asked for
    instance._state.db = sent["using"]
    instance._state.adding = False
    if not type(instance)._meta.auto_created:
        signals.post_save.send(instance=instance, created=created, **sent)
    return instance


def _values_to_save(instance: Any, model: Any, raw: bool, names: Any, connection: Any) -> dict[str, Any]:
    """The attributes to send: all that are loaded, or of them ``names`` and the key.

    What only the service can fill is left out: a key that is not known yet, a column's default.
    """
    values = {}
    for field in model._meta.concrete_fields:
        wanted = names is None or field.primary_key or field.name in names or field.attname in names
        if not wanted or field.attname not in instance.__dict__ or getattr(field, "generated", False):
            continue
        adding = instance._state.adding
        held = instance.__dict__[field.attname]
        value = held if raw or _is_remote_value(held) else field.pre_save(instance, adding)
        if _is_database_default(value) or (value is None and field.primary_key):
            continue
        values[field.attname] = prepared_value(field, value, connection)
    return values


def _is_database_default(value: Any) -> bool:
    return isinstance(value, BaseExpression) and type(value).__name__ == "DatabaseDefault"  # since Django 5.0
