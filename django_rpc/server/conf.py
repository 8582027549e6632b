"""The server's settings: ``DJANGO_RPC`` of its Django project, with types, defaults and checks.

>>> from django_rpc.server.conf import settings
>>> settings.STRICT
True

They are live: a test that overrides ``DJANGO_RPC`` sees the change, and so does a setting that names a mistake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from django_rpc.server.allowance import Allowance, read_limits
from django_rpc.server.clients import ANONYMOUS, Client, read_clients, read_service_key
from django_rpc.telemetry.hooks import OF_SERVER, Observer, load
from django_rpc.wire.names import MOST_KEPT

if TYPE_CHECKING:
    from django_rpc.wire.signing import Key

__all__ = ["DEFAULTS", "Settings", "settings"]

NAME = "DJANGO_RPC"

#: Every setting that the server knows, with its default, whose type is the setting's type.
DEFAULTS: dict[str, Any] = {
    # A model that is not registered does not exist.  False opens all models to all clients: for trusted networks.
    "STRICT": True,
    # Give the SQL that ran to a client that asks for it (``Request.trace``, ``explain()``).
    "SHOW_SQL": False,
    # Give the traceback and the full message of an error to clients.
    "SHOW_TRACEBACK": False,
    # Fields of ``server.allowance.Allowance`` that differ from their defaults.
    "LIMITS": {},
    # Who may call, by name: {"shop": {"keys": {...}, "user": "rpc-shop"}}; none: everybody, as "anonymous".
    "CLIENTS": {},
    # The name of this service, for which clients sign; its private Ed25519 key, for answers to clients with such keys.
    "SERVICE": "",
    "KEY": "",
    "KEY_ID": "default",
    # The entry of CACHES in which used tokens are remembered.
    "CACHE": "default",
    # How long the ledger knows a request that wrote; longer than any message can be under way.
    "LEDGER_DAYS": 7,
    # The longest time, in seconds, for which values wait in the result backend for another service.
    "HAND_OVER_SECONDS": MOST_KEPT,
    # Who is told of each message, by dotted paths (django_rpc.telemetry.hooks).
    "OBSERVERS": list(OF_SERVER),
    # The names of both ends, as in DATABASES of a client.
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
        given = getattr(django_settings, NAME, {})
        if not isinstance(given, dict):
            raise ImproperlyConfigured(f"{NAME} in the settings has to be a dict, not {type(given).__name__}.")
        default = DEFAULTS[name]
        value = given.get(name, default)
        if value is None and isinstance(default, str):
            value = default
        if not isinstance(value, type(default)) or (isinstance(value, bool) and not isinstance(default, bool)):
            raise ImproperlyConfigured(f"{NAME}[{name!r}] has to be of type {type(default).__name__}; it is {value!r}.")
        return value

    @property
    def limits(self) -> Allowance:
        """``LIMITS`` on top of the defaults: what a request may cost, of a client without limits of its own."""
        if "limits" not in self._cache:
            self._cache["limits"] = read_limits(self.LIMITS, f"{NAME}['LIMITS']")
        return self._cache["limits"]

    @property
    def clients(self) -> dict[str, Client]:
        """``CLIENTS`` by name; only ``anonymous`` where there are none."""
        if "clients" not in self._cache:
            clients = read_clients(self.CLIENTS, self.limits)
            if not self.SERVICE and set(clients) != {ANONYMOUS}:
                raise ImproperlyConfigured(
                    f"{NAME} has CLIENTS and no SERVICE: name the service, so that a request that was signed for "
                    "another one is refused. Clients give the same name as SERVICE in DATABASES."
                )
            self._cache["clients"] = clients
        return self._cache["clients"]

    @property
    def service_key(self) -> Key | None:
        """``KEY``, read; None where there is none."""
        if "service_key" not in self._cache:
            self._cache["service_key"] = read_service_key(self.KEY, self.KEY_ID)
        return self._cache["service_key"]

    @property
    def observers(self) -> tuple[Observer, ...]:
        """Those that ``OBSERVERS`` names."""
        try:
            return self._cache["observers"]
        except KeyError:
            pass
        try:
            found = self._cache["observers"] = load(self.OBSERVERS)
        except ValueError as error:
            raise ImproperlyConfigured(f"{NAME}['OBSERVERS']: {error}") from error
        return found


settings = Settings()


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == NAME:
        Settings._cache.clear()


setting_changed.connect(_forget, dispatch_uid="django_rpc.server.conf")
