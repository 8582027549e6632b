"""``ModelRpc``: what clients may do with one model.  As ``ModelAdmin`` is for the admin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from django.db.models import Model, QuerySet

from django_rpc.server.request import RpcRequest

__all__ = ["OPERATIONS", "ModelRpc"]

OPERATIONS: frozenset[str] = frozenset({"read", "create", "update", "delete"})


class ModelRpc:
    """Subclass it, and register the subclass: ``@site.register(Order)``.

    ``fields``: names of what clients may read, filter and order by, or ``"__all__"``.  A name that is no field of
    the model is computed: a method of this class that takes the instance, or a property or a method without
    arguments of the model.  The primary key is always readable.
    ``operations``: of ``"read"``, ``"create"``, ``"update"``, ``"delete"``.
    ``methods``: names that ``objects.call(name, ...)`` and ``instance.call(name, ...)`` may reach.  Looked up on this
    class (called with the request and the queryset or instance first), then on the model's manager or queryset,
    for an instance on the model.
    ``readonly_fields``: readable fields that no client may set.
    """

    fields: ClassVar[Iterable[str]] = ()
    operations: ClassVar[Iterable[str]] = frozenset({"read"})
    methods: ClassVar[Iterable[str]] = ()
    readonly_fields: ClassVar[Iterable[str]] = ()

    def __init__(self, model: type[Model]) -> None:
        self.model = model

    def get_queryset(self, request: RpcRequest) -> QuerySet:
        """The rows that exist for this client, wherever a query of its own may meet them."""
        return self.model._default_manager.get_queryset()

    def has_permission(self, request: RpcRequest, operation: str) -> bool:
        """Whether this client may do ``operation``: one of `OPERATIONS`, or the name of a registered method."""
        return operation in self.operations or operation in self.methods


class OpenModelRpc(ModelRpc):
    """What an unregistered model gets where ``STRICT`` is False: everything."""

    fields = "__all__"
    operations = OPERATIONS
