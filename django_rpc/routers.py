"""Database router of mirrors: ``DATABASE_ROUTERS = ["django_rpc.routers.RpcRouter"]``."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import connections, router

from django_rpc.backend.configure import configure_databases
from django_rpc.models.options import is_at, options_of

__all__ = ["RpcRouter"]


class RpcRouter:
    """Router that sends reads and writes of a mirror to the alias in its ``class Rpc``.

    It decides for a local model only if Django would use the alias of a mirror.
    """

    def __init__(self) -> None:
        configure_databases()

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return _choose(router.db_for_read, model, hints)

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return _choose(router.db_for_write, model, hints)

    def allow_relation(self, obj1: Any, obj2: Any, **hints: Any) -> bool | None:
        """Return True for two mirrors of one service.

        A mirror with a foreign key to a local model, or to a mirror of another service, stores the key of the other
        row; no query joins the two.
        """
        one, two = options_of(type(obj1)), options_of(type(obj2))
        if one is None and two is None:
            return None
        if one is None or two is None or one.database != two.database:
            return True
        return _place(obj1, one) == _place(obj2, two)

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **hints: Any) -> bool | None:
        """Return True for a mirror at the alias of its service only, and for a local model at other aliases only."""
        model = hints.get("model") or _model(app_label, model_name)
        options = options_of(model) if model is not None else None
        if options is not None:
            return is_at(model, db)
        return False if connections[db].vendor == "rpc" else None


def _choose(choose: Any, model: Any, hints: dict[str, Any]) -> str | None:
    options = options_of(model)
    instance = hints.pop("instance", None)
    of_instance = options_of(type(instance)) if instance is not None else None
    if options is not None:
        near = of_instance is not None and of_instance.database == options.database
        return _place(instance, options) if near else options.database
    if of_instance is not None:
        alias: str = choose(model, **hints)  # without the instance of a mirror
        return alias
    return None


def _place(instance: Any, options: Any) -> str:
    """Return the alias of the service of an instance: the alias of its class, or another alias set by ``using()``."""
    alias: str | None = instance._state.db
    is_service = alias is not None and alias in connections and connections[alias].vendor == "rpc"
    return str(alias if is_service else options.database)


def _model(app_label: str, model_name: str | None) -> Any:
    if model_name is None:
        return None
    try:
        return apps.get_model(app_label, model_name)
    except LookupError:
        return None
