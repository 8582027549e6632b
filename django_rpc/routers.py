"""``DATABASE_ROUTERS = ["django_rpc.routers.RpcRouter"]``: mirrors live at their services, and nothing else does."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import connections

from django_rpc.backend.configure import configure_databases
from django_rpc.models.options import options_of

__all__ = ["RpcRouter"]


class RpcRouter:
    """Sends reads and writes of a mirror to the alias in its ``class Rpc``; has no opinion on other models."""

    def __init__(self) -> None:
        configure_databases()

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        options = options_of(model)
        return None if options is None else options.database

    db_for_write = db_for_read

    def allow_relation(self, obj1: Any, obj2: Any, **hints: Any) -> bool | None:
        """Two mirrors may be related if one service has both; a mirror and a local model never are in one query."""
        one, two = options_of(type(obj1)), options_of(type(obj2))
        if one is None and two is None:
            return None
        return one is not None and two is not None and one.database == two.database

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **hints: Any) -> bool | None:
        """On a service's alias only its mirrors exist (for ``dumpdata``), and these exist nowhere else."""
        model = hints.get("model") or _model(app_label, model_name)
        options = options_of(model) if model is not None else None
        if options is not None:
            return db == options.database
        return False if connections[db].vendor == "rpc" else None


def _model(app_label: str, model_name: str | None) -> Any:
    if model_name is None:
        return None
    try:
        return apps.get_model(app_label, model_name)
    except LookupError:
        return None
