"""The engine of entries in DATABASES that name a broker and no ``ENGINE``.

The quick start sets ``settings.DATABASES["rpc"] = {"BROKER_URL": ...}``, possibly after Django has set the defaults of
the other entries.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from django_rpc.graph.delayed import runner

__all__ = ["ENGINE", "configure_databases"]

ENGINE = "django_rpc.backend"
_KEYS = ("BROKER_URL", "RESULT_BACKEND", "DEFAULT_QUEUE_NAME", "PRIORITY_QUEUE_NAME", "CELERY")


def configure_databases() -> None:
    """Set the engine and Django's defaults in each entry of DATABASES with a key of this package.

    Several calls have the effect of a single call.
    """
    try:
        databases = settings.DATABASES
    except ImproperlyConfigured:  # no settings yet: there is nothing to complete
        return
    changed = False
    for database in databases.values():
        engine = database.get("ENGINE")
        if any(key in database for key in _KEYS) and engine in (None, "", "django.db.backends.dummy"):
            database["ENGINE"] = ENGINE
            changed = True
        elif engine == ENGINE and "TIME_ZONE" not in database:
            changed = True
    if changed and "settings" in connections.__dict__:
        connections.settings = connections.configure_settings(databases)


def _resolve(service: str) -> Any:
    """Return the session of a service by its alias; None for other databases."""
    if service not in connections or connections[service].vendor != "rpc":
        return None
    return connections[service].session


runner.resolvers.append(_resolve)
