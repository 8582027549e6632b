"""Execution of operations that write: at once, as a future, or at the end of the block that collects them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_rpc.backend.django_compat import key_fields
from django_rpc.client.deferred import Collected, Pending
from django_rpc.client.unit_of_work import Operation, unit_of
from django_rpc.graph.delayed.delayed import Delayed

__all__ = ["Before", "collect", "key_names", "perform"]


def perform(using: str, operation: Operation, options: Mapping[str, Any] | None = None, future: bool = False) -> Any:
    """Return the result of ``operation`` on the service ``using``; a `Collected` in ``django_rpc.atomic()``."""
    collected = collect(using, operation)
    if collected is not None:
        return collected
    delayed = Delayed(operation.node, operation.done)
    return (delayed.submit if future else delayed.compute)(**(options or {}))


def collect(using: str, operation: Operation) -> Collected | None:
    """Collect ``operation`` in the open block of ``using``; return None without a block.

    Raise TransactionManagementError, as any query does, if an inner block has failed without a savepoint.
    """
    unit = unit_of(using)
    if unit is None:
        return None
    connection = connections[using]
    if connection.in_atomic_block:
        BaseDatabaseWrapper.validate_no_broken_transaction(connection)
    return unit.collect(operation)


class Before:
    """State of an instance before a block changes it: its keys, and its ``_state``.

    ``restore()`` sets this state again. It also removes pending keys of other instances that were never created.
    """

    def __init__(self, instance: Any) -> None:
        self.instance = instance
        self.adding, self.database = instance._state.adding, instance._state.db
        self.keys = {name: instance.__dict__[name] for name in key_names(type(instance)) if name in instance.__dict__}

    def restore(self) -> None:
        attributes, state = self.instance.__dict__, self.instance._state
        attributes.update(self.keys)
        state.adding, state.db = self.adding, self.database
        for name, value in list(attributes.items()):
            if isinstance(value, Pending) and value.collected.is_lost:
                attributes[name] = None


def key_names(model: Any) -> list[str]:
    """Return the names of the attributes that are keys of an instance, also of its parents."""
    parts = key_fields(model)
    return [field.attname for field in model._meta.concrete_fields if field.primary_key or field in parts]
