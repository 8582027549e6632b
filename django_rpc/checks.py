"""System checks of the client. They find mistakes that would otherwise show only at the first call.

docs/reference/checks.md describes each check id.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import DatabaseError, connections

from django_rpc.backend.test_guard import is_test_run
from django_rpc.errors import ImproperSettings, RpcError
from django_rpc.models.codegen.drift import Difference, differences
from django_rpc.models.mirror import exposed_models
from django_rpc.models.options import options_of
from django_rpc.transport.config import Config

__all__ = ["check_constraints", "check_databases", "check_router", "check_services", "check_settings"]

ROUTER = "django_rpc.routers.RpcRouter"
#: Longest time, in seconds, that a check waits for a service, where its TIMEOUT is longer.
LONGEST = 10.0


def _mirrors(app_configs: Any = None) -> list[Any]:
    models = [model for model in apps.get_models() if options_of(model) is not None]
    return models if app_configs is None else [m for m in models if m._meta.app_config in list(app_configs)]


@checks.register(checks.Tags.models)
def check_databases(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """E001: a mirror's ``Rpc.database`` is not an alias of DATABASES with this engine."""
    messages: list[checks.CheckMessage] = []
    for model in _mirrors():
        alias = options_of(model).database  # type: ignore[union-attr]  # mirrors have options
        if alias not in connections or connections[alias].vendor != "rpc":
            remote = [name for name in connections if connections[name].vendor == "rpc"]
            messages.append(
                checks.Error(
                    f"{model._meta.label} is a mirror of the database {alias!r}, which is no service.",
                    hint=f"Name one of {remote} in its class Rpc."
                    if remote
                    else f"Add DATABASES[{alias!r}] with a BROKER_URL and a RESULT_BACKEND.",
                    obj=model,
                    id="django_rpc.E001",
                )
            )
    return messages


@checks.register(checks.Tags.models)
def check_settings(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """E003: the settings of a service in DATABASES have an unknown key or a wrong value."""
    messages: list[checks.CheckMessage] = []
    for alias in connections:
        if connections[alias].vendor != "rpc":
            continue
        try:
            Config.from_dict(connections[alias].settings_dict, alias)
        except ImproperSettings as error:
            messages.append(checks.Error(str(error), id="django_rpc.E003"))
    return messages


@checks.register(checks.Tags.models)
def check_router(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """W001: mirrors exist, but the router that sends related managers to the service of a mirror is not installed."""
    routers = [str(getattr(router, "__name__", router)) for router in settings.DATABASE_ROUTERS]
    if not _mirrors() or any(name.endswith("RpcRouter") for name in routers):
        return []
    return [
        checks.Warning(
            "There are mirror models, but RpcRouter is not in DATABASE_ROUTERS.",
            hint=f'Add "{ROUTER}" to DATABASE_ROUTERS: related managers and migrations use the routers.',
            id="django_rpc.W001",
        )
    ]


@checks.register(checks.Tags.models)
def check_constraints(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """E002: the table of a local model would reference the table of a mirror, which does not exist here."""
    models = [
        model
        for model in apps.get_models(include_auto_created=True)
        if options_of(model) is None and model._meta.managed and not model._meta.proxy
    ]
    return [
        checks.Error(
            f"{_relation_name(field)} leads to {field.related_model._meta.label}, a mirror: its table is in the "
            "database of the service, so the local database cannot hold a constraint on it.",
            hint="Set db_constraint=False.",
            obj=field,
            id="django_rpc.E002",
        )
        for model in models
        for field in model._meta.local_fields
        if field.remote_field and getattr(field, "db_constraint", False) and _is_mirror(field.related_model)
    ]


def _is_mirror(model: Any) -> bool:
    return not isinstance(model, str) and options_of(model) is not None


def _relation_name(field: Any) -> str:
    """Return ``app.Model.field``; for the table of a many-to-many field, the name of that field."""
    model = field.model
    owner = model._meta.auto_created
    if not owner:
        return f"{model._meta.label}.{field.name}"
    (many,) = [many for many in owner._meta.local_many_to_many if many.remote_field.through is model]
    return f"{owner._meta.label}.{many.name}"


@checks.register(checks.Tags.database)
def check_services(
    app_configs: Any = None, databases: Iterable[str] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """E010 to E017 and W011 to W016: compare the mirrors of ``databases`` with the models that their services expose.

    The check runs where the command names a service: ``manage.py check --database rpc``.
    """
    messages: list[checks.CheckMessage] = []
    for alias in databases or ():
        if connections[alias].vendor != "rpc" or not _may_ask(alias):
            continue
        mirrors = [model for model in _mirrors(app_configs) if options_of(model).database == alias]  # type: ignore[union-attr]  # mirrors have options
        if mirrors:
            messages += _check_service(alias, mirrors)
    return messages


def _may_ask(alias: str) -> bool:
    """Return False for a real service during a test run.

    A test runner checks the databases that its tests name. It must not wait for a service, or call a real service.
    """
    return not is_test_run() or bool(connections[alias].session.runs_here)


def _check_service(alias: str, mirrors: list[Any]) -> list[checks.CheckMessage]:
    try:
        timeout = min(connections[alias].session.timeout or LONGEST, LONGEST)
        described = exposed_models(alias, timeout=timeout)
        missing = [label for label in map(_label, mirrors) if label.lower() not in map(str.lower, described)]
        if missing:  # a model that is not registered can be visible, such as an automatic through model
            described = {**exposed_models(alias, *missing, timeout=timeout), **described}
    except (RpcError, DatabaseError, ValueError, PermissionDenied, ImproperlyConfigured) as error:
        return [
            checks.Error(
                f"The service {alias!r} could not be asked what it exposes: {error}",
                hint="The mirrors of this service were not checked.",
                obj=f"DATABASES[{alias!r}]",
                id="django_rpc.E010",
            )
        ]
    return [_message(item) for model in mirrors for item in differences(model, described)]


def _label(model: Any) -> str:
    options = options_of(model)
    assert options is not None
    return options.label


def _message(item: Difference) -> checks.CheckMessage:
    kind = checks.Error if item.id.startswith("E") else checks.Warning
    return kind(item.message, hint=item.hint, obj=item.obj, id=f"django_rpc.{item.id}")
