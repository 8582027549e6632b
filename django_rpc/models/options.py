"""Options of mirrors (``class Rpc``), and the mirrors by the names of their models at the service."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, NotSupportedError, connections

__all__ = [
    "RpcOptions",
    "chosen_database",
    "database_of",
    "is_at",
    "leads_away",
    "mirror_for",
    "mirror_options",
    "options_of",
    "register",
    "through_label",
    "through_named",
]

_KEYS = ("app_label", "name", "database", "fields")


@dataclass(frozen=True)
class RpcOptions:
    """``class Rpc`` with its defaults.

    ``label`` is ``"app_label.Name"`` at the service. ``fields`` has the names of attributes of loaded instances; None
    means all fields of the mirror. ``computed`` are the names among them that are no fields of the mirror.
    """

    label: str
    database: str = "rpc"
    fields: tuple[str, ...] | None = None
    computed: tuple[str, ...] = field(default=())

    @classmethod
    def from_class(cls, declared: Any, inherited: RpcOptions | None, app_label: str, name: str) -> RpcOptions:
        """Return the options of the model ``name`` from its ``class Rpc`` and the options of its parent."""
        values = {key: value for key, value in vars(declared or object).items() if not key.startswith("_")}
        for key in values:
            if declared is not None and key not in _KEYS:
                near = get_close_matches(key, _KEYS, 1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise ImproperlyConfigured(
                    f"{name}.Rpc has no option {key!r}.{hint} The options are {', '.join(_KEYS)}."
                )
        if declared is None:
            values = {}
        label = values.get("app_label") or (inherited.label.partition(".")[0] if inherited else app_label)
        database = values.get("database") or (inherited.database if inherited else "rpc")
        fields = values.get("fields")
        if isinstance(fields, str):
            raise ImproperlyConfigured(f"{name}.Rpc.fields is a list of names, or None: not the string {fields!r}.")
        return cls(
            label=f"{label}.{values.get('name') or name}",
            database=database,
            fields=None if fields is None else tuple(fields),
        )


_mirrors: dict[tuple[str, str], Any] = {}


def register(model: Any) -> None:
    """Make ``model`` the mirror of its label, if it is the first mirror of the label.

    A class that is defined again, for example by a cell of a notebook, replaces its older definition.
    """
    options = model._rpc
    key = (options.database, options.label.lower())
    first = _mirrors.get(key)
    if first is None or (first.__module__, first.__qualname__) == (model.__module__, model.__qualname__):
        _mirrors[key] = model


def mirror_for(database: str, label: str) -> Any:
    """Return the mirror of the service's model ``label``, or None.

    A service without mirrors has the models of another service: queries use it by ``using()``.
    """
    mirror = _mirrors.get((database, label.lower()))
    if mirror is not None or _has_mirrors(database):
        return mirror
    return next((mirror for (_, name), mirror in _mirrors.items() if name == label.lower()), None)


def is_at(model: Any, database: str) -> bool:
    """Return True if the mirror ``model`` has rows at ``database``: its service, or a service without mirrors."""
    if database == mirror_options(model).database:
        return True
    return connections[database].vendor == "rpc" and not _has_mirrors(database)


def _has_mirrors(database: str) -> bool:
    return any(alias == database for alias, _ in _mirrors)


def through_label(model: Any) -> str | None:
    """Return the wire's name for the automatic through model of a many-to-many field, or None for other models."""
    owner = model._meta.auto_created
    if not owner or getattr(owner, "_rpc", None) is None:
        return None
    for many in owner._meta.local_many_to_many:
        if many.remote_field.through is model:
            return f"{owner._rpc.label}.{many.name}"
    return None


def through_named(alias: str, label: str) -> Any:
    """Return the automatic through model with the name ``label`` at the service (``shop.Order_tags``), or None."""
    for owner in _mirrors.values():
        if is_at(owner, alias) and label.startswith(f"{owner._rpc.label}_"):
            for many in owner._meta.local_many_to_many:
                if label == f"{owner._rpc.label}_{many.name}" and many.remote_field.through._meta.auto_created:
                    return many.remote_field.through
    return None


def options_of(model: Any) -> RpcOptions | None:
    """Return the options of a mirror or of its automatic through model; None for a local model."""
    options = getattr(model, "_rpc", None)
    if options is None and getattr(getattr(model, "_meta", None), "auto_created", False):  # a raw query may have none
        label = through_label(model)
        if label is not None:
            options = RpcOptions(label=label, database=model._meta.auto_created._rpc.database)
            model._rpc = options
    return options


def mirror_options(model: Any) -> RpcOptions:
    """Return the options of a mirror; raise TypeError for a local model."""
    options = options_of(model)
    if options is None:
        raise TypeError(f"{model.__name__} is a local model, and not a mirror of a model of a service.")
    return options


def leads_away(field: Any) -> bool:
    """Return True if a foreign key of a mirror leads to rows of a local model or of another service.

    At the service of the mirror, such a foreign key is a plain value.
    """
    source, target = options_of(field.model), options_of(field.remote_field.model)
    return source is not None and (target is None or source.database != target.database)


def chosen_database(model: Any, alias: str | None, choose: Any, hints: dict[str, Any]) -> str:
    """Return `database_of`, or without an alias the choice of the routers by their method ``choose``.

    If the routers choose a local database for a mirror, the service of the mirror is used.
    """
    if alias is not None:
        return database_of(model, alias)
    routed = choose(model, **hints)
    return routed if connections[routed].vendor == "rpc" else database_of(model, None)


def database_of(model: Any, alias: str | None) -> str:
    """Return the service of a query on ``model`` with ``using(alias)``.

    Django uses ``"default"`` where the caller has no choice (``full_clean()``, deserialised objects): it means the
    service of the mirror. Raise NotSupportedError for any other local database, where a mirror has no rows.
    """
    options = mirror_options(model)
    if alias is None or alias == options.database:
        return options.database
    if connections[alias].vendor == "rpc":
        return alias
    if alias == DEFAULT_DB_ALIAS:
        return options.database
    raise NotSupportedError(
        f"{model.__name__} is a mirror: its rows are at {options.database!r}, and it cannot be read from the local "
        f"database {alias!r}. (Is 'django_rpc.routers.RpcRouter' in DATABASE_ROUTERS?)"
    )
