"""A mirror that is defined again, as by a notebook's cell that is run twice, takes the place of its older self.

Django's registry would find the older class for ``"self"`` and for the names of models, and the relations of
other models would go on leading to it.
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
    """While the class is made, the older one is not in the registry; the list is for the new one."""
    known = registry.all_models[app_label]
    older = known.get(name.lower())
    if older is None or (older.__name__, older.__module__) != (name, module):
        yield []
        return
    removed = {key: model for key, model in known.items() if model is older or model._meta.auto_created is older}
    for key in removed:
        del known[key]
    registry.clear_cache()
    made: list[Any] = []
    try:
        yield made
    except BaseException:
        known.update(removed)
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
            for held in (field, rel, model.__dict__.get(field.name)):
                _forget(held)
            field.contribute_to_related_class(newer, rel)
    registry.clear_cache()


def _forget(held: Any) -> None:
    """Drop what an object has worked out and kept."""
    for key in list(getattr(held, "__dict__", ())):
        if isinstance(getattr(type(held), key, None), cached_property):
            del held.__dict__[key]
