"""Managers of mirrors, and the conversion of a user's manager to a manager of a mirror."""

from __future__ import annotations

import functools
from typing import Any

from django.db import models

from django_rpc.backend.django_compat import constructor_arguments, expire_cache, queryset_class
from django_rpc.graph.nodes import ModelSource
from django_rpc.models.expressions import Placeholder
from django_rpc.models.instances import loaded_names
from django_rpc.models.options import options_of
from django_rpc.models.queryset import RpcQuerySet, rpc_queryset_class

__all__ = ["RpcBaseManager", "RpcManager", "record_managers", "rpc_manager_class"]


class RpcManager(models.Manager.from_queryset(RpcQuerySet)):  # type: ignore[misc]  # a class made at run time
    """Manager of a mirror's ``objects``: Django's manager, with the additional methods of `RpcQuerySet`."""

    def get_queryset(self) -> RpcQuerySet:
        """Return all rows. Where the mirror's ``Rpc.fields`` is a list, their instances have only these fields."""
        queryset = super().get_queryset()
        options = options_of(self.model)
        if options is not None and options.fields is not None:
            limit_fields(queryset, loaded_names(self.model))
        return queryset


class RpcBaseManager(RpcManager):
    """Base manager of mirrors. Django loads related rows with it, and the row for ``refresh_from_db()``."""

    def get_queryset(self) -> RpcQuerySet:
        queryset = super().get_queryset()
        node = queryset.query.node
        queryset.query.node = ModelSource(node.model, node.service, node.mirror, node.pinned, True, where=node.where)
        return queryset


@functools.cache
def rpc_manager_class(cls: type[models.Manager]) -> type[models.Manager]:
    """Return a subclass of the user's manager class ``cls``, with querysets that record nodes."""
    if issubclass(cls, RpcManager):
        return cls
    if cls is models.Manager:
        return RpcManager
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    recorded = rpc_queryset_class(queryset_class(cls))
    return type(cls.__name__, (cls, RpcManager), {**names, "_queryset_class": recorded})


def limit_fields(queryset: Any, names: tuple[str, ...]) -> None:
    """Defer all fields that are not in ``names``, and select names without a field, which the service computes.

    Only the local query changes. It decides which columns are requested; the node stays the same.
    """
    attnames = {field.attname for field in queryset.model._meta.concrete_fields}
    queryset.query.add_immediate_loading([name for name in names if name in attnames])
    for name in names:
        if name not in attnames:
            queryset.query.add_annotation(Placeholder(), name, select=True)


def record_managers(model: Any) -> None:
    """Replace each declared or inherited manager of ``model`` that does not record nodes."""
    options = model._meta
    default = options.default_manager
    for manager in options.managers:
        if isinstance(manager, RpcManager):
            continue
        options.local_managers = [local for local in options.local_managers if local.name != manager.name]
        model.add_to_class(manager.name, _recorded(manager))
    if default is not None and options.default_manager.name != default.name:  # a copy precedes inherited managers
        options.default_manager_name = default.name
        expire_cache(options)


def _recorded(manager: Any) -> Any:
    """Return a manager with the arguments and the state of ``manager``, and with querysets that record nodes."""
    manager_class: Any = type(manager)
    args, kwargs = constructor_arguments(manager)
    recorded = rpc_manager_class(manager_class)(*args, **kwargs)
    vars(recorded).update(vars(manager))
    return recorded
