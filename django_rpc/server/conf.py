"""The server's settings: ``DJANGO_RPC`` of its Django project, with types, defaults and checks.

>>> from django_rpc.server.conf import settings
>>> settings.STRICT
True

The settings are live: if a test overrides ``DJANGO_RPC``, the next access reads and checks the new value.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings as django_settings
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from django_rpc.errors import ImproperSettings
from django_rpc.server.core.clients import ANONYMOUS, Client, read_clients, read_service_key
from django_rpc.server.core.limits import Allowance, read_limits
from django_rpc.telemetry.hooks import OF_SERVER, Observer, load
from django_rpc.wire.names import MOST_KEPT

if TYPE_CHECKING:
    from django_rpc.wire.signing import Key

__all__ = ["DEFAULTS", "Settings", "settings"]

NAME = "DJANGO_RPC"

#: Each setting of the server with its default. The type of the default is the type of the setting.
DEFAULTS: dict[str, Any] = {
    # Only registered models exist for clients. False opens all models to all clients, for trusted networks.
    "STRICT": True,
    # Send the executed SQL to a client that requests it (``Request.trace``, ``explain()``).
    "SHOW_SQL": False,
    # Send the traceback and the full message of an error to clients.
    "SHOW_TRACEBACK": False,
    # Fields of ``server.core.limits.Allowance`` that differ from their defaults.
    "LIMITS": {},
    # Clients by name: {"shop": {"keys": {...}, "user": "rpc-shop"}}.  Without clients, everybody is "anonymous".
    "CLIENTS": {},
    # Name of this service in signed requests, and its private Ed25519 key for replies to clients with such keys.
    "SERVICE": "",
    "KEY": "",
    "KEY_ID": "default",
    # The entry of CACHES that stores used tokens.
    "CACHE": "default",
    # Days until the ledger forgets a request that wrote; longer than any message can be on its way.
    "LEDGER_DAYS": 7,
    # The longest time, in seconds, that forwarded values wait in the result backend for another service.
    "HAND_OVER_SECONDS": MOST_KEPT,
    # Observers of each message, as dotted paths (django_rpc.telemetry.hooks).
    "OBSERVERS": list(OF_SERVER),
    # Names of the broker, the result backend and the queues, with the values that clients have in DATABASES.
    "BROKER_URL": "",
    "RESULT_BACKEND": "",
    "DEFAULT_QUEUE_NAME": "django_rpc",
    "PRIORITY_QUEUE_NAME": "django_rpc_priority",
    "CELERY": {},
}


class Settings:
    """Attribute access to ``DJANGO_RPC``; raises ImproperlyConfigured for a value of a wrong type."""

    _cache: ClassVar[dict[str, Any]] = {}

    def __getattr__(self, name: str) -> Any:
        try:
            return self._cache[name]
        except KeyError:
            pass
        if name not in DEFAULTS:
            raise AttributeError(f"{NAME} has no setting {name!r}; there are {', '.join(DEFAULTS)}.")
        value = self._cache[name] = self._read(name)
        return value

    @staticmethod
    def _read(name: str) -> Any:
        values = getattr(django_settings, NAME, {})
        if not isinstance(values, dict):
            raise ImproperlyConfigured(f"{NAME} in the settings has to be a dict, not {type(values).__name__}.")
        default = DEFAULTS[name]
        value = values.get(name, default)
        if value is None and isinstance(default, str):
            value = default
        if not isinstance(value, type(default)) or (isinstance(value, bool) and not isinstance(default, bool)):
            raise ImproperlyConfigured(f"{NAME}[{name!r}] has to be of type {type(default).__name__}; it is {value!r}.")
        return value

    @property
    def limits(self) -> Allowance:
        """Limits of a request, unless its client has other limits: the defaults with the values of ``LIMITS``."""
        if "limits" not in self._cache:
            with _as_configuration_errors():
                self._cache["limits"] = read_limits(self.LIMITS, f"{NAME}['LIMITS']")
        return self._cache["limits"]

    @property
    def clients(self) -> dict[str, Client]:
        """Clients by name, from ``CLIENTS``; only ``anonymous`` if the setting is empty."""
        if "clients" not in self._cache:
            with _as_configuration_errors():
                clients = read_clients(self.CLIENTS, self.limits)
            if not self.SERVICE and set(clients) != {ANONYMOUS}:
                raise ImproperlyConfigured(
                    f"{NAME} has CLIENTS and no SERVICE: name the service, so that a request that was signed for "
                    "another service is refused. Clients give the same name as SERVICE in DATABASES."
                )
            self._cache["clients"] = clients
        return self._cache["clients"]

    @property
    def service_key(self) -> Key | None:
        """Parsed private key from ``KEY``; None if the setting is empty."""
        if "service_key" not in self._cache:
            with _as_configuration_errors():
                self._cache["service_key"] = read_service_key(self.KEY, self.KEY_ID)
        return self._cache["service_key"]

    @property
    def cache(self) -> Any:
        """Django's cache for tokens and rate limits, named by ``CACHE``."""
        try:
            return caches[self.CACHE]
        except Exception as error:
            raise ImproperlyConfigured(
                f"{NAME}['CACHE'] is {self.CACHE!r}, which cannot be used: {error}. It names an entry of CACHES."
            ) from error

    @property
    def observers(self) -> tuple[Observer, ...]:
        """Loaded observers from ``OBSERVERS``."""
        try:
            return self._cache["observers"]
        except KeyError:
            pass
        try:
            loaded = self._cache["observers"] = load(self.OBSERVERS)
        except ValueError as error:
            raise ImproperlyConfigured(f"{NAME}['OBSERVERS']: {error}") from error
        return loaded


@contextlib.contextmanager
def _as_configuration_errors() -> Iterator[None]:
    """Raise Django's ImproperlyConfigured for a mistake in a setting."""
    try:
        yield
    except ImproperSettings as error:
        raise ImproperlyConfigured(str(error)) from None


settings = Settings()


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == NAME:
        Settings._cache.clear()


setting_changed.connect(_forget, dispatch_uid="django_rpc.server.conf")
