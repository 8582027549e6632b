"""How an operation that writes is done: at once, as a future, or at the end of the block that collects it."""

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
    """The result of ``operation`` on the service ``using``; a `Collected` within a block of ``django_rpc.atomic()``."""
    collected = collect(using, operation)
    if collected is not None:
        return collected
    delayed = Delayed(operation.node, operation.done)
    return (delayed.submit if future else delayed.compute)(**(options or {}))


def collect(using: str, operation: Operation) -> Collected | None:
    """What the open block of ``using`` notes of ``operation``; None without a block.

    Raises TransactionManagementError, as any query would, where an inner block has failed without a savepoint.
    """
    unit = unit_of(using)
    if unit is None:
        return None
    connection = connections[using]
    if connection.in_atomic_block:
        BaseDatabaseWrapper.validate_no_broken_transaction(connection)
    return unit.collect(operation)


class Before:
    """An instance as it is before a block changes it; ``restore()`` makes it so again.

    Its keys, and what Django knows of its row.  A pending key of another instance that was never given goes, too.
    """

    def __init__(self, instance: Any) -> None:
        self.instance = instance
        self.adding, self.database = instance._state.adding, instance._state.db
        self.keys = {name: instance.__dict__[name] for name in key_names(type(instance)) if name in instance.__dict__}

    def restore(self) -> None:
        held, state = self.instance.__dict__, self.instance._state
        held.update(self.keys)
        state.adding, state.db = self.adding, self.database
        for name, value in list(held.items()):
            if isinstance(value, Pending) and value.collected.is_lost:
                held[name] = None


def key_names(model: Any) -> list[str]:
    """The attributes that are keys of an instance: its own, and those of the parents it inherits from."""
    parts = key_fields(model)
    return [field.attname for field in model._meta.concrete_fields if field.primary_key or field in parts]
