"""System checks of a service: its clients, and the packages and tables that its settings need."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings as django_settings
from django.core import checks
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from django_rpc.server.conf import NAME, settings
from django_rpc.server.core.clients import ANONYMOUS, Client
from django_rpc.server.ledger.ledger import APP, installed
from django_rpc.server.query import regexes
from django_rpc.server.registry.site import site

__all__ = ["CHECKS", "check_clients", "check_django", "check_ledger", "check_packages", "messages"]


@checks.register(checks.Tags.security)
def check_clients(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Check the settings for clients.

    W020: no client needs a key. W024: a client may send code. E020 to E022: a mistake in a setting, a missing KEY, a
    cache that does not keep values for all processes.
    """
    if not _is_service():
        return []
    try:
        clients, service_key, _ = settings.clients, settings.service_key, settings.observers
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), id="django_rpc.E020")]
    if not settings.CLIENTS:
        return [
            checks.Warning(
                "DJANGO_RPC names no CLIENTS: each program that can write to the broker has all permissions of the "
                "registered models.",
                hint='Give each client a key: "CLIENTS": {"shop": {"keys": {"2026-01": "..."}}}. If every caller '
                f'may call, set "CLIENTS": {{"{ANONYMOUS}": {{}}}}.',
                id="django_rpc.W020",
            )
        ]
    problems: list[checks.CheckMessage] = [*_check_shipping(clients)]
    keys = [key for client in clients.values() for key in client.keys.values()]
    if service_key is None and any(key.algorithm == "EdDSA" for key in keys):
        problems.append(
            checks.Error(
                "DJANGO_RPC has clients with Ed25519 keys, and no KEY to sign the answers to them.",
                hint="Set DJANGO_RPC['KEY'] to a private Ed25519 key (openssl genpkey -algorithm ed25519), and "
                "SERVICE_KEY of these clients to its public key.",
                id="django_rpc.E021",
            )
        )
    return [*problems, *_check_cache()] if keys else problems


def _check_shipping(clients: dict[str, Client]) -> list[checks.CheckMessage]:
    may = [name for name, client in clients.items() if client.may_ship]
    if not may:
        return []
    return [
        checks.Warning(
            f"DJANGO_RPC['CLIENTS'] lets {', '.join(map(repr, may))} ship functions by cloudpickle: with a key of "
            "such a client, code can do all that this service's processes can.",
            hint="Register the functions by name instead (@site.function). If you need it, run a separate worker "
            "for such clients, with a database user and an account of few permissions, and silence this check there.",
            id="django_rpc.W024",
        )
    ]


def _check_cache() -> list[checks.CheckMessage]:
    try:
        cache = settings.cache
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), id="django_rpc.E020")]
    if not isinstance(cache, DummyCache | LocMemCache):
        return []
    return [
        checks.Error(
            f"Used tokens are remembered in the cache {settings.CACHE!r}, a {type(cache).__name__}, which the "
            "processes of a worker do not share: a message that was recorded could be sent again.",
            hint="Let DJANGO_RPC['CACHE'] name an entry of CACHES that all workers share: Redis, Memcached, a table.",
            id="django_rpc.E022",
        )
    ]


#: The lowest release of each series without a known SQL injection by names in queries (CVE-2026-1287, CVE-2026-1312).
SAFE_DJANGO = {(4, 2): 28, (5, 2): 11, (6, 0): 2}


@checks.register(checks.Tags.security)
def check_django(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """W023: this release of Django has known SQL injections where clients choose the names in queries."""
    series, patch = django.VERSION[:2], django.VERSION[2]
    if not _is_service() or series > max(SAFE_DJANGO) or patch >= SAFE_DJANGO.get(series, patch + 1):
        return []
    safe = ", ".join(f"{major}.{minor}.{lowest}" for (major, minor), lowest in SAFE_DJANGO.items())
    return [
        checks.Warning(
            f"Django {'.'.join(map(str, django.VERSION[:3]))} has known security holes: a name in a query can become "
            "SQL.",
            hint=f"Install one of {safe}, or a later release of its series. (This service refuses such names "
            "before Django receives them, so this is a second line of defence.)",
            id="django_rpc.W023",
        )
    ]


@checks.register(checks.Tags.compatibility)
def check_packages(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """E025: a database is SQLite, and the package for its searches by regular expression is not installed."""
    is_service = getattr(django_settings, NAME, None) and (list(site) or not settings.STRICT)
    aliases = [alias for alias in connections if connections[alias].vendor == "sqlite"]
    if not is_service or not aliases or regexes.is_installed():
        return []
    return [
        checks.Error(
            f"The database {aliases[0]!r} is SQLite, and the package 'regex' is not installed: "
            "lookups by regular expressions would fail.",
            hint="Install 'django-rpc[server]', which requires it.",
            id="django_rpc.E025",
        )
    ]


@checks.register(checks.Tags.models)
def check_ledger(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """W021: clients may write, and there is no ledger that prevents a repeated write."""
    if not _is_service() or installed() or not (_can_write() or not settings.STRICT):
        return []
    return [
        checks.Warning(
            "Clients may write, and a request whose message is delivered twice (a worker died before it could "
            "acknowledge it) is done twice: this service keeps no ledger.",
            hint=f"Add {APP!r} to INSTALLED_APPS and run migrate.",
            id="django_rpc.W021",
        )
    ]


def _can_write() -> bool:
    if any(not function.reads_only for function in site.functions.values()):
        return True
    return any(set(rpc.operations) - {"read"} or rpc.methods for rpc in site._registry.values())


def _is_service() -> bool:
    """Return False in a project that is only a client, or that exposes nothing."""
    exposes = list(site) or site.functions or not settings.STRICT or settings.CLIENTS
    return bool(getattr(django_settings, NAME, None) and exposes)


#: The checks that a worker runs when it starts; ``manage.py check`` runs them, too.
CHECKS = (check_clients, check_django, check_ledger, check_packages)


def messages() -> list[checks.CheckMessage]:
    """Return the messages of all checks of a service, without those in SILENCED_SYSTEM_CHECKS."""
    return [message for check in CHECKS for message in check() if not message.is_silenced()]
