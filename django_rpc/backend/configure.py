"""Makes entries of DATABASES that name a broker databases of this engine, as if they had said so.

The quick start writes ``settings.DATABASES["rpc"] = {"BROKER_URL": ...}`` with no ``ENGINE``, possibly after
Django has filled in the defaults of the other entries.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from django_rpc.graph.delayed import runner

__all__ = ["ENGINE", "configure_databases"]

ENGINE = "django_rpc.backend"
_OWN_KEYS = ("BROKER_URL", "RESULT_BACKEND", "DEFAULT_QUEUE_NAME", "PRIORITY_QUEUE_NAME", "CELERY")


def configure_databases() -> None:
    """Give every entry of DATABASES that has a key of ours the engine and Django's own defaults.

    Cheap and safe to call at any time and any number of times.
    """
    try:
        databases = settings.DATABASES
    except ImproperlyConfigured:  # no settings yet: there is nothing to complete
        return
    changed = False
    for database in databases.values():
        engine = database.get("ENGINE")
        if any(key in database for key in _OWN_KEYS) and engine in (None, "", "django.db.backends.dummy"):
            database["ENGINE"] = ENGINE
            changed = True
        elif engine == ENGINE and "TIME_ZONE" not in database:
            changed = True
    if changed and "settings" in connections.__dict__:
        connections.settings = connections.configure_settings(databases)


def _resolve(service: str) -> Any:
    """The session of a service by its alias; here, since this is imported before anybody can ask for one."""
    if service not in connections or connections[service].vendor != "rpc":
        return None
    return connections[service].session


runner.resolvers.append(_resolve)
