"""Cascades of deletions between local tables and a service.

Django's collector works in one database. A service deletes the rows of a mirror that refer to a deleted local row, with
its cascades. Local rows that refer to a row of a mirror are deleted or updated after the service has deleted the row.
There is no transaction for both databases.
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
    """Let the service delete rows of the mirror ``model``, if ``field`` leads to a local model and cascades."""
    if field.remote_field.on_delete is CASCADE:
        lazy_related_operation(_cascade_where_local, model, field.remote_field.model, field=field)


def _cascade_where_local(model: Any, related: Any, field: Any) -> None:
    if options_of(related) is None:
        field.remote_field.on_delete = _at_service


def _at_service(collector: Any, field: Any, sub_objs: Any, using: str) -> None:
    """Replace ``CASCADE`` for rows at a service, which are not loaded and need no local SQL."""
    if type(collector) is Collector and isinstance(sub_objs, QuerySet):
        collector.fast_deletes.append(sub_objs.model._base_manager.filter(pk__in=[row.pk for row in sub_objs]))
    else:  # the collector of the admin, which shows the rows
        CASCADE(collector, field, sub_objs, using)


class LocalPart:
    """The local rows that refer to rows of the mirror ``model``; false if no local model has a foreign key to it.

    ``collect()`` raises ProtectedError or RestrictedError before a row is deleted.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        related = get_candidate_relations_to_delete(model._meta)
        self._fields = [relation.field for relation in related if options_of(relation.related_model) is None]
        self._collectors: dict[str, Collector] = {}

    def __bool__(self) -> bool:
        return bool(self._fields)

    def collect(self, instances: Iterable[Any], origin: Any) -> None:
        """Find the local rows to delete or update with ``instances``."""
        instances = list(instances)
        for field in self._fields:
            using = router.db_for_write(field.model)
            collector = self._collectors.setdefault(using, Collector(using=using, origin=origin))
            rows = field.model._base_manager.using(using).filter(**{f"{field.name}__in": instances})
            on_delete = field.remote_field.on_delete
            if on_delete is not DO_NOTHING and (is_lazy_on_delete(on_delete) or rows):
                on_delete(collector, field, rows, using)
        for collector in self._collectors.values():
            restricted = {
                row for sets in collector.restricted_objects.values() for rows in sets.values() for row in rows
            }
            if restricted:
                raise RestrictedError(
                    f"Cannot delete some instances of model {self.model.__name__!r} because they are referenced "
                    "through restricted foreign keys.",
                    restricted,
                )

    def delete(self, done: tuple[int, dict[str, int]]) -> tuple[int, dict[str, int]]:
        """Delete the local rows; return the counts ``done`` of the service together with the local counts."""
        total, by_label = done[0], dict(done[1])
        for collector in self._collectors.values():
            count, labels = collector.delete()
            total += count
            for label, number in labels.items():
                by_label[label] = by_label.get(label, 0) + number
        return total, by_label
