"""Checks of written generic foreign keys: like other foreign keys, they may point only to rows that the client sees.

A generic foreign key has two columns, and a write may set only one of them. So the check runs after the rows are
written, within the transaction.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import router
from django.db.models import Model

from django_rpc.server.evaluate.evaluator import Evaluator

__all__ = ["check_pairs", "confirm_targets", "partly_written", "written"]

_BATCH = 500


@functools.cache
def _cached_generic_keys(model: Any) -> tuple[Any, ...]:
    return tuple([field for field in model._meta.private_fields if getattr(field, "ct_field", None)])


def _generic_keys(model: Any) -> tuple[Any, ...]:
    return _cached_generic_keys(model)


def _columns(model: type[Model], field: Any) -> tuple[str, str]:
    return model._meta.get_field(field.ct_field).attname, field.fk_field


def written(model: type[Model], names: Iterable[str]) -> list[Any]:
    """Return the generic foreign keys of ``model`` with a part in ``names`` of fields."""
    fields = _generic_keys(model)
    written_names = set(names) if fields else ()
    return [
        field
        for field in fields
        if any(n in written_names for n in (field.name, field.ct_field, *_columns(model, field)))
    ]


def partly_written(model: type[Model], names: Iterable[str]) -> list[Any]:
    """Return the generic foreign keys of ``model`` with one part in ``names`` and the other part not."""
    written_names = set(names)
    return [
        field
        for field in written(model, written_names)
        if field.fk_field not in written_names or written_names.isdisjoint((field.ct_field, _columns(model, field)[0]))
    ]


def confirm_targets(ev: Evaluator, model: type[Model], keys: Iterable[Any], names: Iterable[str]) -> None:
    """Raise ValidationError, which rolls back the request, if the written ``names`` point to rows that are not visible.

    ``keys`` are the primary keys of the rows that were written.
    """
    fields = written(model, names)
    ordered = sorted(set(keys), key=repr) if fields else []
    for field in fields:
        rows = model._base_manager.using(router.db_for_write(model)).order_by()
        for start in range(0, len(ordered), _BATCH):
            batch = rows.filter(pk__in=ordered[start : start + _BATCH])
            check_pairs(ev, batch.values_list(*_columns(model, field)).distinct())


def check_pairs(ev: Evaluator, pairs: Iterable[tuple[Any, Any]]) -> None:
    """Raise ValidationError unless each pair (content type, key of a row) points to a row that the client sees."""
    from django.contrib.contenttypes.models import ContentType

    keys_by_type: dict[Any, set[Any]] = {}
    for kind, key in pairs:
        if hasattr(kind, "resolve_expression") or hasattr(key, "resolve_expression"):
            raise ValidationError("A generic foreign key is set to values, not to expressions.", code="invalid")
        if kind is not None and key is not None:
            keys_by_type.setdefault(kind, set()).add(key)
    for kind, target_keys in keys_by_type.items():
        model = ContentType.objects.get_for_id(kind).model_class()
        if model is None or ev.policy.view(model) is None:
            raise _missing(target_keys)
        rows = ev.policy.rows(model)
        if rows is not None:
            keys = {model._meta.pk.to_python(key): key for key in target_keys}
            seen = set(rows.filter(pk__in=list(keys)).values_list("pk", flat=True))
            if keys.keys() - seen:
                raise _missing({keys[key] for key in keys.keys() - seen})


def _missing(keys: set[Any]) -> ValidationError:
    return ValidationError(
        "instance with key %(value)r does not exist.", code="invalid", params={"value": min(keys, key=repr)}
    )
