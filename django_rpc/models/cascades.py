"""Deletions that cross from local tables to a service, and back.

Django's collector works in one database.  Rows of a mirror that go with a local row are deleted at the service, with
its own cascades; local rows that go with a row of a mirror, or lose their key to it, do so when the service has
deleted it.  No transaction spans the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import router
from django.db.models import CASCADE, DO_NOTHING, QuerySet, RestrictedError

from django_rpc.backend.django_compat import (
    Collector,
    get_candidate_relations_to_delete,
    is_lazy_on_delete,
    lazy_related_operation,
)
from django_rpc.models.options import options_of

__all__ = ["LocalPart", "cascade_from_local"]


def cascade_from_local(model: Any, field: Any) -> None:
    """Where ``field`` of the mirror ``model`` leads to a local model and cascades, the service deletes the rows."""
    if field.remote_field.on_delete is CASCADE:
        lazy_related_operation(_cascade_where_local, model, field.remote_field.model, field=field)


def _cascade_where_local(model: Any, related: Any, field: Any) -> None:
    if options_of(related) is None:
        field.remote_field.on_delete = _at_service


def _at_service(collector: Any, field: Any, sub_objs: Any, using: str) -> None:
    """``CASCADE`` for rows at a service: nothing is collected of them, and no SQL is run for them."""
    if type(collector) is Collector and isinstance(sub_objs, QuerySet):
        collector.fast_deletes.append(sub_objs.model._base_manager.filter(pk__in=[row.pk for row in sub_objs]))
    else:  # the admin's, which shows what would go
        CASCADE(collector, field, sub_objs, using)


class LocalPart:
    """What goes in local tables with rows of the mirror ``model``; false where no local model has a key to it.

    ``collect()`` raises ProtectedError or RestrictedError, before anything is deleted.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        related = get_candidate_relations_to_delete(model._meta)
        self._fields = [one.field for one in related if options_of(one.related_model) is None]
        self._collectors: dict[str, Collector] = {}

    def __bool__(self) -> bool:
        return bool(self._fields)

    def collect(self, instances: Iterable[Any], origin: Any) -> None:
        """Look for what goes with ``instances``."""
        instances = list(instances)
        for field in self._fields:
            using = router.db_for_write(field.model)
            collector = self._collectors.setdefault(using, Collector(using=using, origin=origin))
            rows = field.model._base_manager.using(using).filter(**{f"{field.name}__in": instances})
            on_delete = field.remote_field.on_delete
            if on_delete is not DO_NOTHING and (is_lazy_on_delete(on_delete) or rows):
                on_delete(collector, field, rows, using)
        for collector in self._collectors.values():
            restricted = {row for rows in collector.restricted_objects.values() for one in rows.values() for row in one}
            if restricted:
                raise RestrictedError(
                    f"Cannot delete some instances of model {self.model.__name__!r} because they are referenced "
                    "through restricted foreign keys.",
                    restricted,
                )

    def delete(self, done: tuple[int, dict[str, int]]) -> tuple[int, dict[str, int]]:
        """Do it; returns ``done``, the service's own, with what went here."""
        total, by_label = done[0], dict(done[1])
        for collector in self._collectors.values():
            count, labels = collector.delete()
            total += count
            for label, number in labels.items():
                by_label[label] = by_label.get(label, 0) + number
        return total, by_label
