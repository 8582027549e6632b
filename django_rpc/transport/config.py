"""Settings of one service, as written in ``DATABASES`` or passed to a native client."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django_rpc.errors import ImproperSettings
from django_rpc.wire.names import is_redis

__all__ = ["Config"]

#: Keys of this package, and the name of the `Config` attribute that each key sets.
_OWN = {
    "BROKER_URL": "broker_url",
    "RESULT_BACKEND": "result_backend",
    "DEFAULT_QUEUE_NAME": "default_queue",
    "PRIORITY_QUEUE_NAME": "priority_queue",
    "TIMEOUT": "timeout",
    "WORKER_GRACE": "worker_grace",
    "CELERY": "celery",
    "EXACTLY_ONCE": "exactly_once",
    "OBSERVERS": "observers",
    "CLIENT": "client",
    "KEY": "key",
    "KEY_ID": "key_id",
    "SERVICE": "service",
    "SERVICE_KEY": "service_key",
}
_KEYS = {attribute: key for key, attribute in _OWN.items()}
#: Other keys that may be in the same dict: keys of Django, and keys of the server (DJANGO_RPC).
_OTHER = frozenset(
    "ENGINE NAME USER PASSWORD HOST PORT OPTIONS TIME_ZONE TEST ATOMIC_REQUESTS AUTOCOMMIT CONN_MAX_AGE "
    "CONN_HEALTH_CHECKS DISABLE_SERVER_SIDE_CURSORS STRICT LIMITS LEDGER_DAYS CLIENTS CACHE SHOW_SQL "
    "SHOW_TRACEBACK".split()
)
#: Least similarity (as of difflib) of an unknown key to a key of this package, for it to be reported as a typing error.
_TYPO = 0.8


@dataclass(frozen=True, slots=True)
class Config:
    """Address of a service, and how to call it. Made by `Config.from_dict`; configs of equal settings are equal."""

    alias: str = "rpc"
    broker_url: str | None = None
    result_backend: str | None = None
    default_queue: str = "django_rpc"
    priority_queue: str = "django_rpc_priority"
    timeout: float | None = 30.0  # seconds; None waits for ever
    worker_grace: float | None = 2.0  # seconds that a call waits without a worker; None: until its timeout
    celery: Mapping[str, Any] = field(default_factory=dict, hash=False)
    exactly_once: bool = False  # True: the service keeps a ledger, so writes may be published again
    observers: tuple[str, ...] | None = None  # dotted paths of observers of each message (telemetry/hooks.py)
    # Names of the client and the service, and the keys that prove these names; see client/signing.py.
    client: str | None = None
    key: str | None = field(default=None, repr=False)
    key_id: str = "default"
    service: str | None = None
    service_key: Any = field(default=None, hash=False)  # one public key, or a dict of public keys by id

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any], alias: str = "rpc", name: str | None = None) -> Config:
        """Read a dict of settings; raise `ImproperSettings` for a misspelt key or a wrong value.

        ``name`` is the name of the dict in errors. By default, it is the alias in DATABASES.

        >>> Config.from_dict({"BROKER_URL": "redis://localhost/", "TIMEOUT": 5}).timeout
        5.0
        >>> Config.from_dict({"BROKER_ULR": "redis://localhost/"})
        Traceback (most recent call last):
        django_rpc.errors.ImproperSettings: DATABASES['rpc'] has no 'BROKER_ULR'; did you mean 'BROKER_URL'?
        """
        name = name or f"DATABASES['{alias}']"
        _refuse_typos(settings, name)
        values = {_OWN[key]: value for key, value in settings.items() if key in _OWN}
        if "timeout" in values:
            values["timeout"] = check_timeout(values["timeout"], f"{name}['TIMEOUT']")
        if "worker_grace" in values:
            values["worker_grace"] = check_timeout(values["worker_grace"], f"{name}['WORKER_GRACE']")
        for key in (
            "broker_url",
            "result_backend",
            "default_queue",
            "priority_queue",
            "client",
            "key",
            "key_id",
            "service",
        ):
            if key in values and not isinstance(values[key], str | None):
                raise ImproperSettings(f"{name}: {_KEYS[key]} must be text, not {type(values[key]).__name__}.")
        if not isinstance(values.get("exactly_once", False), bool):
            raise ImproperSettings(f"{name}['EXACTLY_ONCE'] must be True or False, not {values['exactly_once']!r}.")
        if values.get("observers") is not None:
            values["observers"] = _paths(values["observers"], f"{name}['OBSERVERS']")
        celery = values.get("celery") or {}
        if not isinstance(celery, Mapping):
            raise ImproperSettings(
                f"{name}['CELERY'] must be a dict of Celery settings, such as "
                f"{{'task_always_eager': True}}, not {celery!r}."
            )
        values["celery"] = dict(celery)
        # A name that is None or "" counts as not set, so the default applies.
        for key in ("default_queue", "priority_queue", "key_id"):
            if not values.get(key, True):
                del values[key]
        return cls(alias=alias, **values)

    @property
    def eager(self) -> bool:
        """Return True where the service is evaluated in this process and thread, without a broker and a worker."""
        return bool(self.celery.get("task_always_eager"))

    @property
    def replies_by_redis(self) -> bool:
        """Return True where the answer arrives on a Redis list, without Celery's result machinery."""
        return is_redis(self.result_backend)

    def queue(self, *, priority: bool) -> str:
        return self.priority_queue if priority else self.default_queue


def check_timeout(value: Any, name: str = "timeout") -> float | None:
    """Return ``value`` as seconds, or None for no limit; raise `ImproperSettings` for any other value.

    >>> check_timeout(5)
    5.0
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise ImproperSettings(f"{name} must be a number of seconds above 0, or None to wait for ever; not {value!r}.")
    return float(value)


def _paths(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(path, str) for path in value):
        raise ImproperSettings(f"{name} must be a list of dotted paths, not {value!r}.")
    return tuple(value)


def _refuse_typos(settings: Mapping[str, Any], name: str) -> None:
    for key in settings:
        if key in _OWN or key in _OTHER:
            continue
        near = difflib.get_close_matches(str(key).upper(), [*_OWN, "CLIENTS"], n=1, cutoff=_TYPO)
        if near:
            raise ImproperSettings(f"{name} has no {key!r}; did you mean {near[0]!r}?")
