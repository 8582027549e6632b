"""Deletion of one instance at the service: the node of ``delete()``, and the handling of its answer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.db import connections

from django_rpc.client.deferred import Collected
from django_rpc.client.unit_of_work import Operation
from django_rpc.graph.nodes import IfElse, Literal, Method, ModelSource, Node, callsite
from django_rpc.graph.values import freeze
from django_rpc.models.cascades import LocalPart
from django_rpc.models.custom_fields import stored_value
from django_rpc.models.delete_signals import DeleteSignals
from django_rpc.models.dispatch import Before, collect
from django_rpc.models.instances import deleted_labels
from django_rpc.models.options import options_of

__all__ = ["delete_instance"]


def delete_instance(instance: Any, using: str, keep_parents: bool) -> Any:
    """Return the same as Django's ``delete()``, with the cascades of the service.

    The client sends ``pre_delete`` at once, and ``post_delete`` after the answer.
    """
    origin = type(instance)
    options = options_of(origin)
    assert options is not None
    local = LocalPart(origin)
    local.collect([instance], instance)
    delete_signals = DeleteSignals(origin, lambda: [instance], using, instance, keep_parents)
    delete_signals.before()
    key = freeze(stored_value(origin._meta.pk, instance.pk, connections[using]))
    rows = ModelSource(options.label, using, base=True)
    row = Method(rows, "get", (), {"pk": key}, where=callsite())
    kwargs = {"keep_parents": True} if keep_parents else {}
    node = Method(row, "delete", (), kwargs, where=callsite())
    gone = (0, {options.label: 0})  # deleted before this call: Django deletes no row either
    finish = functools.partial(_finished, using, local)
    after = functools.partial(_deleted, instance, instance.pk, delete_signals)
    pend = functools.partial(_pend, instance)
    collected = collect(using, Operation(_if_there(rows, key, node, gone), finish, after, pend))
    if collected is not None:
        return collected
    try:
        deleted = connections[using].compute(node)
    except origin._meta.concrete_model.DoesNotExist:
        deleted = gone
    delete_signals.after()
    setattr(instance, instance._meta.pk.attname, None)
    return finish(deleted)


def _finished(using: str, local: LocalPart, answer: Any) -> tuple[int, dict[str, int]]:
    return local.delete(deleted_labels(using, answer))


def _if_there(rows: ModelSource, key: Any, node: Method, gone: Any) -> Node:
    """Return a node that deletes the row only if it exists, so that a missing row does not fail the message."""
    there = Method(Method(rows, "filter", (), {"pk": key}, where=node.where), "exists", where=node.where)
    return IfElse(there, node, Literal(gone), where=node.where)


def _deleted(instance: Any, key: Any, delete_signals: DeleteSignals, answer: Any) -> None:
    """Send ``post_delete`` with the key of the row, since the instance may have another key by now."""
    name = instance._meta.pk.attname
    current_key = instance.__dict__.get(name)
    setattr(instance, name, key)
    delete_signals.after()
    setattr(instance, name, current_key)


def _pend(instance: Any, collected: Collected) -> Callable[[], None]:
    before = Before(instance)
    setattr(instance, instance._meta.pk.attname, None)
    return before.restore
