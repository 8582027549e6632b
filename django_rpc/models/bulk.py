"""``bulk_create()`` and ``bulk_update()`` of a mirror's queryset, in one message each."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

from django.db import connections
from django.db.utils import NotSupportedError

from django_rpc.backend.django_compat import OnConflict, has_db_default, prepare_related_fields
from django_rpc.client.deferred import Collected, Pending
from django_rpc.client.unit_of_work import Operation
from django_rpc.graph.nodes import Insert, callsite
from django_rpc.graph.values import freeze
from django_rpc.models.atomic import together
from django_rpc.models.custom_fields import loaded_value, stored_value
from django_rpc.models.dispatch import Before, perform
from django_rpc.models.expressions import is_database_default, prepared_value
from django_rpc.models.options import mirror_options

__all__ = ["BulkMethods"]


class BulkMethods:
    """A part of `queryset.RpcQuerySet`."""

    model: Any
    query: Any
    db: str
    _future: bool
    _write: Callable[..., Any]

    def bulk_create(self, objs: Any, *args: Any, **kwargs: Any) -> Any:
        """Create rows as Django does, in one message for all batches."""
        if self._future:
            raise NotSupportedError(
                f"{self.model.__name__}.objects.future().bulk_create() cannot be sent: it has to write the new keys "
                "into the instances. Omit future(), or use future().create()."
            )
        with together(self.db, self.query.options):
            return super().bulk_create(objs, *args, **kwargs)  # type: ignore[misc]  # a mixin

    bulk_create.alters_data = True  # type: ignore[attr-defined]  # a mark that Django reads

    def bulk_update(self, objs: Any, fields: Any, batch_size: int | None = None) -> Any:
        """Update rows as Django does, in one message; the service splits it into batches as its database needs."""
        objs = tuple(objs)
        connection = connections[self.db]
        checked = self._bulk_update_fields(objs, fields, batch_size)
        if not objs:
            return 0
        rows = [
            (
                freeze(stored_value(self.model._meta.pk, obj.pk, connection)),
                *[prepared_value(f, getattr(obj, f.attname), connection) for f in checked],
            )
            for obj in objs
        ]
        return self._write("bulk_update", (tuple(f.name for f in checked), rows), {"batch_size": batch_size})

    def _bulk_update_fields(self, objs: Any, fields: Any, batch_size: Any) -> list[Any]:
        if batch_size is not None and batch_size <= 0:
            raise ValueError("Batch size must be a positive integer.")
        if not fields:
            raise ValueError("Field names must be given to bulk_update().")
        checked = [self.model._meta.get_field(name) for name in fields]
        if any(not f.concrete or f.many_to_many for f in checked):
            raise ValueError("bulk_update() can only be used with concrete fields.")
        if any(f.primary_key for f in checked):
            raise ValueError("bulk_update() cannot be used with primary key fields.")
        if any(obj.pk is None for obj in objs):
            raise ValueError("All bulk_update() objects must have a primary key set.")
        for obj in objs:
            prepare_related_fields(obj, "bulk_update", checked)
        return checked

    def _insert(
        self,
        objs: Any,
        fields: Any,
        returning_fields: Any = None,
        raw: bool = False,
        using: str | None = None,
        on_conflict: Any = None,
        update_fields: Any = None,
        unique_fields: Any = None,
    ) -> Any:
        """Insert rows for ``bulk_create()``: one node for all consecutive rows with the same database defaults."""
        self._for_write = True
        options = (returning_fields, raw, using or self.db, on_conflict, update_fields, unique_fields)
        filled = [field for field in fields if has_db_default(field)]
        returned: list[Any] = []
        for left_out, rows in groupby(
            objs, lambda obj: [field for field in filled if is_database_default(getattr(obj, field.attname))]
        ):
            sent = [field for field in fields if field not in left_out]
            returned.extend(self._insert_same_fields(list(rows), sent, *options))
        return returned

    def _insert_same_fields(
        self,
        objs: list[Any],
        fields: Any,
        returning_fields: Any,
        raw: bool,
        using: str,
        on_conflict: Any,
        update_fields: Any,
        unique_fields: Any,
    ) -> Any:
        connection = connections[using]

        def value_of(obj: Any, field: Any) -> Any:
            value = getattr(obj, field.attname) if raw else field.pre_save(obj, add=True)
            return prepared_value(field, value, connection)

        node = Insert(
            mirror_options(self.model).label,
            connection.alias,
            fields=tuple(field.attname for field in fields),
            rows=tuple(tuple(value_of(obj, field) for field in fields) for obj in objs),
            returning=tuple(field.attname for field in returning_fields or ()),
            on_conflict={None: None, OnConflict.IGNORE: "ignore", OnConflict.UPDATE: "update"}[on_conflict],
            update_fields=tuple(getattr(field, "name", field) for field in update_fields or ()),
            unique_fields=tuple(getattr(field, "name", field) for field in unique_fields or ()),
            where=callsite(),
        )
        filling = _Filling(objs, list(returning_fields or ()), connection)
        returned = perform(connection.alias, Operation(node, filling.finish, pend=filling.pend), self.query.options)
        return filling.pending if isinstance(returned, Collected) else returned

    _insert.alters_data = True  # type: ignore[attr-defined]  # a mark that Django reads
    _insert.queryset_only = False  # type: ignore[attr-defined]  # a mark that Django reads


class _Filling:
    """The values of ``fields`` that the service returns for new rows: at once, or at the end of the block."""

    def __init__(self, objs: Any, fields: list[Any], connection: Any) -> None:
        self.objs = objs
        self.fields = fields
        self.connection = connection
        self.pending: list[tuple[Pending, ...]] = []

    def pend(self, collected: Collected) -> Callable[[], object]:
        before = [Before(obj) for obj in self.objs]
        for row in range(len(self.objs)):
            keys = [Pending(collected, (row, i), f"The {f.name} of a new row") for i, f in enumerate(self.fields)]
            self.pending.append(tuple(keys))

        def restore() -> None:
            for instance in before:
                instance.restore()

        return restore

    def finish(self, returned: Any) -> list[tuple[Any, ...]]:
        rows = [
            tuple([loaded_value(f, v, self.connection.alias) for f, v in zip(self.fields, row, strict=True)])
            for row in returned
        ]
        for obj, row, pending in zip(self.objs, rows, self.pending, strict=False):
            for field, value, key in zip(self.fields, row, pending, strict=True):
                key.settle(value)
                if obj.__dict__.get(field.attname) is key:
                    obj.__dict__[field.attname] = value
        return rows
