"""Registry of mirrors with an app label of no installed app, as in scripts and notebooks.

Django finds the relations that lead to a model only in installed apps. So ``filter(orders__total=5)`` would not find
the mirror ``Order`` of a notebook. These mirrors have `registry` as their ``Meta.apps``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps

from django_rpc.backend.django_compat import expire_cache

__all__ = ["registry"]


class _Registry:
    """Django's registry, with the models of labels without an app. All other attributes are those of ``apps``."""

    def __getattr__(self, name: str) -> Any:
        return getattr(apps, name)

    def get_models(self, include_auto_created: bool = False, include_swapped: bool = False) -> list[Any]:
        models = list(apps.get_models(include_auto_created, include_swapped))
        return models + [m for m in self._models_without_app() if include_auto_created or not m._meta.auto_created]

    def register_model(self, app_label: str, model: Any) -> None:
        apps.register_model(app_label, model)
        self.clear_cache()

    def clear_cache(self) -> None:
        apps.clear_cache()
        for model in self._models_without_app():
            expire_cache(model._meta)

    def _models_without_app(self) -> Iterator[Any]:
        """Yield the mirrors with a label of no app, and their automatic through models."""
        for label, models in list(apps.all_models.items()):
            if label not in apps.app_configs:
                for model in list(models.values()):
                    if model._meta.apps is self:
                        yield model


registry = _Registry()
