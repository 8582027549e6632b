"""Saving of one instance at the service: the node of ``save()`` and ``create()``, and the handling of its answer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import connections
from django.db.models import QuerySet, signals

from django_rpc.backend.django_compat import forced_bases, is_generated, reverse_one_to_one_names
from django_rpc.client.deferred import Collected, Pending
from django_rpc.client.unit_of_work import Operation
from django_rpc.graph.nodes import Item, Node, Save, callsite, nodes_in
from django_rpc.graph.values import Expr
from django_rpc.models.custom_fields import loaded_value
from django_rpc.models.dispatch import Before, key_names
from django_rpc.models.expressions import is_database_default, prepared_value
from django_rpc.models.instances import keep_expression
from django_rpc.models.options import mirror_options, options_of
from django_rpc.models.reply_checks import changed_values

__all__ = ["begin_save", "forced_inserts", "new_instance"]


def new_instance(model: Any, values: Mapping[str, Any]) -> Any:
    """Return ``model(**values)``, where values may be futures and Delayed.

    The service sets the values of these on its instance.
    """
    reverse: set[str] = values.keys() & reverse_one_to_one_names(model)
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
        instance.__dict__[field.attname] = value  # directly, since its descriptor would compare the value
    return instance


def _is_remote_value(value: Any) -> bool:
    return hasattr(type(value), "__rpc_node__") and not isinstance(value, QuerySet)


def forced_inserts(model: Any, force_insert: Any) -> bool | tuple[str, ...]:
    """Return ``force_insert`` of ``save()`` in the form to send: a bool, or (since Django 5.0) labels of models.

    A base that no service has, such as ``models.Model``, means all mirrors that derive from it. Raise the errors of
    Django for values other than a bool and a tuple of bases.
    """
    bases = forced_bases(model, force_insert)
    if bases is None:
        return bool(force_insert)
    mirrors = [
        mirror for mirror in (model, *model._meta.get_parent_list()) if issubclass(mirror, bases) and options_of(mirror)
    ]
    return tuple([mirror_options(mirror).label for mirror in mirrors])


def begin_save(
    instance: Any, using: str, *, names: frozenset[str] | None, raw: bool, force_insert: Any, force_update: bool
) -> Operation:
    """Return the operation that saves ``instance``; its result is the instance.

    The client sends ``pre_save`` here, and ``post_save`` after the answer.
    """
    origin = type(instance)
    model = origin._meta.concrete_model
    options = options_of(origin)  # the service may have a separate model for a proxy
    assert options is not None
    sent = {"sender": origin, "raw": raw, "using": using, "update_fields": names}
    if not origin._meta.auto_created:
        signals.pre_save.send(instance=instance, **sent)
    has_key = _has_key(instance)
    if not has_key and not names and model._meta.parents:
        force_update = False  # Django inserts the row of the parent, and then also inserts the row of the child
    if (force_update or names) and not has_key:
        raise ValueError("Cannot force an update in save() with no primary key.")
    saving = _Saving(instance, model, using, sent)
    node = Save(
        options.label,
        using,
        values=saving.values(_values_to_save(instance, model, raw, names, connections[using])),
        adding=instance._state.adding,
        force_insert=force_insert,
        force_update=force_update,
        update_fields=None if names is None else tuple(sorted(names - _key_names(model))),
        raw=raw,
        where=callsite(),
    )
    saving.node = node
    return Operation(node, saving.finish, saving.tell, saving.pend)


def _has_key(instance: Any) -> bool:
    """Return True if a primary key has a value, or gets its default in ``save()``; the key of a parent is enough."""
    keys = [instance._meta.get_field(name) for name in key_names(type(instance))]
    values = (instance.__dict__.get(key.attname) for key in keys)
    return any(value is not None for value in values) or any(
        key.get_pk_value_on_save(instance) is not None for key in keys
    )


@functools.cache
def _key_names(model: Any) -> frozenset[str]:
    """Return the names of primary keys, including keys of parents.

    Django includes a parent's key in the loaded fields of a deferred instance, although it cannot update the key.
    """
    return frozenset(name for f in model._meta.concrete_fields if f.primary_key for name in (f.name, f.attname))


_ABSENT = object()


class _Saving:
    """One save of an instance, and the handling of its answer.

    In a block that collects operations, the instance is used further before the answers arrive, and may be saved again.
    A field that was not changed between two saves then has, at the service, the value after the first save. A value
    that was set after a save is not replaced by the answer to that save.
    """

    node: Save

    def __init__(self, instance: Any, model: Any, using: str, sent: dict[str, Any]) -> None:
        self.instance = instance
        self.fields = {field.attname: field for field in model._meta.concrete_fields}
        self.key = model._meta.pk.attname
        self.using = using
        self.sent = sent
        self.held: dict[str, Any] = {}  # values of the instance when the save was collected, updated by answers
        self.known: dict[str, tuple[Any, _Saving]] = {}  # the last sent value of each field, and the save that sent it
        self.pending: Pending | None = None

    def values(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the values to send.

        An unchanged value of an earlier save in the block becomes a reference to its result.
        """
        earlier = _collected_of(self.instance)
        last_sent = earlier[-1].known if earlier else {}
        self.known = {**last_sent, **{name: (value, self) for name, value in values.items()}}
        return {
            name: Item(Item(last_sent[name][1].node, 1), name)
            if name in last_sent and _is_same(value, last_sent[name][0])
            else value
            for name, value in values.items()
        }

    def pend(self, collected: Collected) -> Callable[[], None]:
        """Mark the instance as saved at once; its key is known at the end of the block."""
        instance, before = self.instance, Before(self.instance)
        self.pending = Pending(collected, (1, self.key), f"The key of this {type(instance)._meta.object_name}")
        for name in key_names(type(instance)):
            if instance.__dict__.get(name) is None:
                instance.__dict__[name] = self.pending
        instance._state.db = self.using
        instance._state.adding = False
        self.held = {name: instance.__dict__.get(name, _ABSENT) for name in self.fields}
        instance._state.collected = [*_collected_of(instance), self]

        return before.restore

    def finish(self, answer: Any) -> Any:
        """Set the values that the service has filled."""
        changed = changed_values(self.instance, answer)
        instance = self.instance
        if self.pending is not None:
            key = self.fields.get(self.key)  # a composite key is no field, and its parts are known
            self.pending.settle(None if key is None else loaded_value(key, changed.get(self.key), self.using))
        for attname, value in changed.items():
            if attname in self.fields and self._is_as_saved(attname):
                self._set(attname, loaded_value(self.fields[attname], value, self.using))
        for attname in self.fields:
            current = instance.__dict__.get(attname)
            if is_database_default(current):
                del instance.__dict__[attname]  # the service did not return the value, so it is loaded when it is read
            elif isinstance(current, Pending) and current.done():
                instance.__dict__[attname] = current.result()
            elif attname in self.known and hasattr(current, "resolve_expression"):
                keep_expression(instance, self.fields[attname], current)
        for link in filter(None, type(instance)._meta.parents.values()):
            if link.is_cached(instance):
                link.delete_cached_value(instance)  # as Django, since the save has changed the row of the parent
        instance._state.db = self.using
        instance._state.adding = False
        return instance

    def _is_as_saved(self, attname: str) -> bool:
        """Return True if the attribute has not been set since the save was collected."""
        return self.pending is None or self.instance.__dict__.get(attname, _ABSENT) is self.held[attname]

    def _set(self, attname: str, value: Any) -> None:
        instance = self.instance
        before = instance.__dict__.get(attname, _ABSENT)
        if isinstance(before, Pending) and before.done() and before.result() == value:
            instance.__dict__[attname] = value  # without setattr(), so that the instance with this key stays cached
        else:
            if _is_remote_value(before):
                del instance.__dict__[attname]  # the descriptor must not compare a Delayed
            setattr(instance, attname, value)
        for later in _collected_of(instance):
            if later.held.get(attname, _ABSENT) is before:
                later.held[attname] = value

    def tell(self, answer: Any) -> None:
        if not type(self.instance)._meta.auto_created:
            signals.post_save.send(instance=self.instance, created=answer[0], **self.sent)


def _collected_of(instance: Any) -> list[_Saving]:
    """Return the saves of an instance that an open block has collected, without answers yet.

    A copy of the instance has the same saves.
    """
    saves: list[_Saving] = instance._state.__dict__.pop("collected", [])
    if saves:
        saves = [save for save in saves if save.pending is not None and save.pending.is_open]
        if saves:
            instance._state.collected = saves
    return saves


def _is_same(value: Any, other: Any) -> bool:
    """Return True for equal plain values; False for an expression, which the service evaluates each time."""
    if isinstance(value, Node | Expr) or nodes_in(value):
        return False
    return type(value) is type(other) and bool(value == other)


def _values_to_save(instance: Any, model: Any, raw: bool, names: Any, connection: Any) -> dict[str, Any]:
    """Return the values of the attributes to send: all loaded attributes, or of these ``names`` and the key.

    For another service than that of the instance, deferred attributes are loaded first. Values that only the service
    can fill are omitted: a key that is not known yet, and defaults of columns.
    """
    values = {}
    keys = key_names(model)
    elsewhere = instance._state.db not in (None, connection.alias)
    for field in model._meta.concrete_fields:
        is_selected = names is None or field.attname in keys or field.name in names or field.attname in names
        if not is_selected or is_generated(field):
            continue
        if field.attname not in instance.__dict__:
            if not elsewhere:
                continue
            getattr(instance, field.attname)  # loaded from the instance's service
        adding = instance._state.adding
        current = instance.__dict__[field.attname]
        value = current if raw or _is_remote_value(current) else field.pre_save(instance, adding)
        if is_database_default(value) or (value is None and field.primary_key):
            continue
        values[field.attname] = prepared_value(field, value, connection)
    return values
