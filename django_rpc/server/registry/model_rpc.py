"""``ModelRpc``: what clients may do with one model.  As ``ModelAdmin`` is for the admin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from django.db.models import Model, QuerySet

from django_rpc.server.core.request import RpcRequest

__all__ = ["OPERATIONS", "ModelRpc"]

OPERATIONS: frozenset[str] = frozenset({"read", "create", "update", "delete"})


class ModelRpc:
    """Subclass it, and register the subclass: ``@site.register(Order)``.

    ``fields``: names of what clients may read, or ``"__all__"``.  A name that is no field of the model is computed: a
    method of this class that takes the instance, or a property or a method without arguments of the model.  The
    primary key is always readable.
    ``filterable_fields``: names of what queries may use: filter, order, group and calculate by, and follow.  None:
    those of ``fields``.  One that is not in ``fields`` can be compared (``exact``, ``in``, ``isnull``), and nothing
    else.  The primary key can always be filtered by.
    ``writable_fields``: names of what clients may set, whether they may read it or not.  None: those of ``fields``.
    ``readonly_fields``: of these, what no client may set.
    ``operations``: of ``"read"``, ``"create"``, ``"update"``, ``"delete"``.
    ``methods``: names that ``objects.call(name, ...)`` and ``instance.call(name, ...)`` may reach.  Looked up on this
    class (called with the request and the queryset or instance first), then on the model's manager or queryset,
    for an instance on the model.

    Each of the four has a method that says it for one client: ``get_fields(request)`` and so on.
    """

    fields: ClassVar[Iterable[str]] = ()
    filterable_fields: ClassVar[Iterable[str] | None] = None
    writable_fields: ClassVar[Iterable[str] | None] = None
    operations: ClassVar[Iterable[str]] = frozenset({"read"})
    methods: ClassVar[Iterable[str]] = ()
    readonly_fields: ClassVar[Iterable[str]] = ()

    def __init__(self, model: type[Model]) -> None:
        self.model = model

    def get_fields(self, request: RpcRequest) -> Iterable[str]:
        """What this client may read; what it does not name does not exist for the client."""
        return self.fields

    def get_filterable_fields(self, request: RpcRequest) -> Iterable[str] | None:
        """What queries of this client may use; None: what it may read."""
        return self.filterable_fields

    def get_writable_fields(self, request: RpcRequest) -> Iterable[str] | None:
        """What this client may set; None: what it may read."""
        return self.writable_fields

    def get_readonly_fields(self, request: RpcRequest) -> Iterable[str]:
        """Of these, what this client may not set."""
        return self.readonly_fields

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
