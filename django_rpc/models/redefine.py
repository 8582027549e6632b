"""Redefinition of a mirror, for example by a cell of a notebook that runs twice.

The new class replaces the older class in Django's registry, and in the relations of other models.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.utils.functional import cached_property

from django_rpc.models import instances
from django_rpc.models.registry import registry

__all__ = ["redefining"]


@contextmanager
def redefining(app_label: str, name: str, module: str) -> Iterator[list[Any]]:
    """Remove the older class from the registry while the new class is created; the caller adds it to the list."""
    models = registry.all_models[app_label]
    older = models.get(name.lower())
    if older is None or (older.__name__, older.__module__) != (name, module):
        yield []
        return
    removed = {key: model for key, model in models.items() if model is older or model._meta.auto_created is older}
    for key in removed:
        del models[key]
    registry.clear_cache()
    made: list[Any] = []
    try:
        yield made
    except BaseException:
        models.update(removed)
        registry.clear_cache()
        raise
    _lead_to(older, made[0])
    instances.related_mirrors.cache_clear()
    instances.loaded_names.cache_clear()


def _lead_to(older: Any, newer: Any) -> None:
    """Make the relations of other models that lead to ``older`` lead to ``newer``."""
    for model in registry.get_models(include_auto_created=True):
        for field in (*model._meta.local_fields, *model._meta.local_many_to_many):
            rel = field.remote_field
            if rel is None or rel.model is not older:
                continue
            rel.model = newer
            for cached in (field, rel, model.__dict__.get(field.name)):
                _forget(cached)
            field.contribute_to_related_class(newer, rel)
    registry.clear_cache()


def _forget(instance: Any) -> None:
    """Delete the values of cached properties."""
    for key in list(getattr(instance, "__dict__", ())):
        if isinstance(getattr(type(instance), key, None), cached_property):
            del instance.__dict__[key]
