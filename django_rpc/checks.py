"""System checks of the client: mistakes that would only show at the first call."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.db import connections

from django_rpc.models.options import options_of

__all__ = ["check_databases", "check_router"]

ROUTER = "django_rpc.routers.RpcRouter"


def _mirrors() -> list[Any]:
    return [model for model in apps.get_models() if options_of(model) is not None]


@checks.register(checks.Tags.models)
def check_databases(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """E001: a mirror's ``Rpc.database`` is not an alias of DATABASES with this engine."""
    found: list[checks.CheckMessage] = []
    for model in _mirrors():
        alias = options_of(model).database  # type: ignore[union-attr]
        if alias not in connections or connections[alias].vendor != "rpc":
            remote = [name for name in connections if connections[name].vendor == "rpc"]
            found.append(
                checks.Error(
                    f"{model._meta.label} is a mirror of the database {alias!r}, which is no service.",
                    hint=f"Name one of {remote} in its class Rpc."
                    if remote
                    else f"Add DATABASES[{alias!r}] with a BROKER_URL and a RESULT_BACKEND.",
                    obj=model,
                    id="django_rpc.E001",
                )
            )
    return found


@checks.register(checks.Tags.models)
def check_router(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """W001: there are mirrors, and the router that sends related managers to their service is not installed."""
    routers = [str(getattr(router, "__name__", router)) for router in settings.DATABASE_ROUTERS]
    if not _mirrors() or any(name.endswith("RpcRouter") for name in routers):
        return []
    return [
        checks.Warning(
            "There are mirror models, but RpcRouter is not in DATABASE_ROUTERS.",
            hint=f'Add "{ROUTER}" to DATABASE_ROUTERS: related managers and migrations ask the routers.',
            id="django_rpc.W001",
        )
    ]
