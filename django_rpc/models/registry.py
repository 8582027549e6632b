"""The registry of mirrors whose app label is no installed app's: those of scripts and notebooks.

Django looks for the relations that lead to a model in installed apps alone, so that ``filter(orders__total=5)``
would not find the mirror ``Order`` of a cell.  `registry` is Django's own registry, with these models among its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.apps.registry import Apps

__all__ = ["registry"]


class _Registry(Apps):
    """Shares all that the registry holds, and knows more models."""

    def __init__(self) -> None:
        self.__dict__ = apps.__dict__

    def get_models(self, include_auto_created: bool = False, include_swapped: bool = False) -> list[Any]:
        known = list(apps.get_models(include_auto_created, include_swapped))
        return known + [m for m in self._others() if include_auto_created or not m._meta.auto_created]

    def clear_cache(self) -> None:
        apps.clear_cache()
        for model in self._others():
            model._meta._expire_cache()

    def _others(self) -> Iterator[Any]:
        """Mirrors of labels that are no app, and their automatic through models."""
        for label, models in list(apps.all_models.items()):
            if label not in apps.app_configs:
                for model in list(models.values()):
                    if model._meta.apps is self:
                        yield model


registry = _Registry()
