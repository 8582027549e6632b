"""The registry of exposed models, as ``admin.site`` is for the admin.

@site.register(Order)
class OrderRpc(ModelRpc):
    fields = ["id", "number", "total"]
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model
from django.utils.module_loading import autodiscover_modules

from django_rpc.server.conf import settings
from django_rpc.server.core.request import RpcRequest
from django_rpc.server.django_compat import BaseExpression
from django_rpc.server.registry.exposure import Exposure, own_methods
from django_rpc.server.registry.functions import ServerFunction, checked_name, server_function
from django_rpc.server.registry.model_rpc import ModelRpc, OpenModelRpc
from django_rpc.server.registry.permissions import DjangoModelPermissions

__all__ = ["RpcSite", "autodiscover", "site"]


class RpcSite:
    """Registered models with the permissions of clients, and registered functions."""

    def __init__(self) -> None:
        # autodiscover_modules restores the attribute of this name if an rpc.py fails to import.
        self._registry: dict[type[Model], ModelRpc] = {}
        self._exposures: dict[type[Model], Exposure] = {}
        self._open: dict[type[Model], Exposure] = {}
        #: Functions by the names that clients use.
        self.functions: dict[str, ServerFunction] = {}
        #: Query expressions by the names that clients use.
        self.expressions: dict[str, type[BaseExpression]] = {}
        self._tables: dict[str, list[Exposure]] | None = None
        self._tables_strict = True

    def register(self, model: Any, rpc_class: type[ModelRpc] | None = None) -> Any:
        """``site.register(Model, ModelRpcClass)``, or as a decorator: ``@site.register(Model)``.

        Returns the class. Raises ImproperlyConfigured for a declaration with a mistake.
        """
        if isinstance(model, str):
            model = apps.get_model(model)
        if rpc_class is not None:
            return self._register(model, rpc_class)
        decorate: Callable[[type[ModelRpc]], type[ModelRpc]] = lambda decorated: self._register(model, decorated)  # noqa: E731
        return decorate

    def _register(self, model: type[Model], rpc_class: type[ModelRpc]) -> type[ModelRpc]:
        if not (isinstance(model, type) and issubclass(model, Model)):
            raise ImproperlyConfigured(f"site.register() takes a model; {model!r} is none.")
        if not (isinstance(rpc_class, type) and issubclass(rpc_class, ModelRpc)):
            raise ImproperlyConfigured(f"{model._meta.label} is registered with {rpc_class!r}: write a ModelRpc class.")
        if model._meta.abstract:
            raise ImproperlyConfigured(f"{model.__name__} is abstract: register the models that inherit from it.")
        if model in self._registry:
            raise ImproperlyConfigured(
                f"{model._meta.label} is registered already, with {type(self._registry[model]).__name__}."
            )
        rpc = rpc_class(model)
        self._exposures[model] = Exposure(model, rpc)
        self._registry[model] = rpc
        self._tables = None
        return rpc_class

    def function(
        self,
        call: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        permission: Callable[[RpcRequest], bool] | None = None,
        reads_only: bool = False,
        with_request: bool = False,
        databases: str | Iterable[str] = DEFAULT_DB_ALIAS,
    ) -> Any:
        """Let clients call a function by its name (or ``name``); a decorator, with or without arguments.

        ``permission(request)`` returns True if the client may call the function; otherwise it does not exist for it.
        A call runs in a transaction on ``databases``, unless ``reads_only`` declares that it changes nothing.
        With ``with_request``, the first argument is the `RpcRequest`.

        Returns the function. Raises ImproperlyConfigured for a mistake.
        """
        if call is None:
            return functools.partial(
                self.function,
                name=name,
                permission=permission,
                reads_only=reads_only,
                with_request=with_request,
                databases=databases,
            )
        made = server_function(
            call, name, databases, permission=permission, reads_only=reads_only, with_request=with_request
        )
        registered = self.functions.get(made.name)
        if registered is not None and registered.call is not call:
            raise ImproperlyConfigured(
                f"A function {made.name!r} is registered already: {registered.call!r}. Use name='...'."
            )
        self.functions[made.name] = made
        return call

    def expression(self, cls: Any = None, *, name: str | None = None) -> Any:
        """Let clients use a class of query expressions by its name (or ``name``); a decorator, with or without it.

        Its columns are checked like all others in a query. The class must not put an argument of its constructor into
        the text of the SQL.

        Returns the class. Raises ImproperlyConfigured for a mistake.
        """
        if cls is None:
            return functools.partial(self.expression, name=name)
        if not (isinstance(cls, type) and issubclass(cls, BaseExpression)):
            raise ImproperlyConfigured(f"@site.expression decorates a class of query expressions; {cls!r} is none.")
        name = checked_name(cls, name)
        if self.expressions.setdefault(name, cls) is not cls:
            raise ImproperlyConfigured(f"An expression {name!r} is registered already. Use name='...'.")
        return cls

    @property
    def asks_users(self) -> bool:
        """True if a registered class uses the permissions of Django users."""
        return any(isinstance(rpc, DjangoModelPermissions) for rpc in self._registry.values())

    def unregister(self, model: type[Model]) -> None:
        """Forget a model; raises KeyError if it is not registered."""
        del self._registry[model]
        self._exposures.pop(model, None)
        self._tables = None

    def exposure(self, model: type[Model]) -> Exposure | None:
        """Return the exposure of ``model``; None if it is not exposed."""
        exposure = self._exposures.get(model)
        if exposure is not None:
            return exposure if model in self._registry else None
        if settings.STRICT or model._meta.auto_created:
            return None
        exposure = self._open.get(model)
        if exposure is None:
            rpc_class = type(f"{model.__name__}Rpc", (OpenModelRpc,), {"methods": own_methods(model._default_manager)})
            exposure = self._open[model] = Exposure(model, rpc_class(model))
        return exposure

    @property
    def tables(self) -> dict[str, list[Exposure]]:
        """Exposures of the models with columns in each table, also if they expose none of these columns."""
        if self._tables is None or self._tables_strict != settings.STRICT:
            tables: dict[str, list[Exposure]] = {}
            models = list(self._registry) if settings.STRICT else apps.get_models()
            for model in models:
                exposure = self.exposure(model)
                if exposure is not None:
                    for table in exposure.tables():
                        tables.setdefault(table, []).append(exposure)
            self._tables, self._tables_strict = tables, settings.STRICT
        return self._tables

    def __contains__(self, model: object) -> bool:
        return model in self._registry

    def __iter__(self) -> Any:
        return iter(list(self._registry))


site = RpcSite()


def autodiscover() -> None:
    """Import ``rpc.py`` of every installed app, which registers its models."""
    autodiscover_modules("rpc", register_to=site)
