"""Managers of mirrors, and how a user's own manager becomes one."""

from __future__ import annotations

import copy
import functools
from typing import Any

from django.db import models

from django_rpc.graph.node import Source
from django_rpc.models.expressions import Placeholder
from django_rpc.models.instances import loaded_names
from django_rpc.models.options import options_of
from django_rpc.models.queryset import RpcQuerySet, rpc_queryset_class

__all__ = ["RpcBaseManager", "RpcManager", "record_managers", "rpc_manager_class"]


class RpcManager(models.Manager.from_queryset(RpcQuerySet)):  # type: ignore[misc]
    """``Model.objects`` of a mirror: Django's manager, with `RpcQuerySet`'s own methods."""

    def get_queryset(self) -> RpcQuerySet:
        """All rows; where the mirror's ``Rpc.fields`` is a list, their instances bring these fields alone."""
        queryset = super().get_queryset()
        options = options_of(self.model)
        if options is not None and options.fields is not None:
            limit_fields(queryset, loaded_names(self.model))
        return queryset


class RpcBaseManager(RpcManager):
    """The base manager of mirrors, by which Django loads related rows and ``refresh_from_db()`` its row."""

    def get_queryset(self) -> RpcQuerySet:
        queryset = super().get_queryset()
        node = queryset.query.node
        queryset.query.node = Source(node.model, node.service, node.mirror, node.pinned, True, where=node.where)
        return queryset


@functools.cache
def rpc_manager_class(cls: type[models.Manager]) -> type[models.Manager]:
    """``cls``, a user's own manager class, as one whose querysets record."""
    if issubclass(cls, RpcManager):
        return cls
    if cls is models.Manager:
        return RpcManager
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    queryset_class = rpc_queryset_class(cls._queryset_class)
    return type(cls.__name__, (cls, RpcManager), {**names, "_queryset_class": queryset_class})


def limit_fields(queryset: Any, names: tuple[str, ...]) -> None:
    """Defer all other fields, and select what is no field of the mirror: it is computed at the service.

    Only the local query changes: it decides which columns are asked for, and not what is asked.
    """
    own = {field.attname for field in queryset.model._meta.concrete_fields}
    queryset.query.add_immediate_loading([name for name in names if name in own])
    for name in names:
        if name not in own:
            queryset.query.add_annotation(Placeholder(), name, select=True)


def record_managers(model: Any) -> None:
    """Turn every manager of ``model``, its own or inherited, into one whose querysets record."""
    options = model._meta
    for manager in options.local_managers:
        manager.__class__ = rpc_manager_class(type(manager))
    options._expire_cache()
    default = options.default_manager
    for manager in options.managers:
        if not isinstance(manager, RpcManager):  # of an abstract base that local models may share
            own = copy.copy(manager)
            own.__class__ = rpc_manager_class(type(manager))
            model.add_to_class(manager.name, own)
    options._expire_cache()
    if default is not None and options.default_manager.name != default.name:  # a copy comes before what is inherited
        options.default_manager_name = default.name
        options._expire_cache()
