"""``ModelRpc`` declares the permissions of clients for a model, as ``ModelAdmin`` does for the admin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from django.db.models import Model, QuerySet

from django_rpc.server.core.request import RpcRequest

__all__ = ["OPERATIONS", "ModelRpc"]

OPERATIONS: frozenset[str] = frozenset({"read", "create", "update", "delete"})


class ModelRpc:
    """Base class of declarations: register a subclass by ``@site.register(Order)``.

    - ``fields``: names of readable fields, or ``"__all__"``. A name that is no field of the model is computed: by a
      method of this class with the instance as its argument, or by a property or method of the model. The primary key
      is always readable.
    - ``filterable_fields``: names that queries may filter, order, group and calculate by, and follow. None means
      ``fields``. A field that is not in ``fields`` can only be compared (``exact``, ``in``, ``isnull``). Queries can
      always filter by the primary key.
    - ``writable_fields``: names of fields that clients may set, also if they may not read them. None means ``fields``.
    - ``readonly_fields``: names among these that no client may set.
    - ``operations``: a set of ``"read"``, ``"create"``, ``"update"``, ``"delete"``.
    - ``methods``: names for ``objects.call(name, ...)`` and ``instance.call(name, ...)``. A method of this class has
      the request and the queryset or instance as its first arguments. Otherwise the method of the manager, of the
      queryset or of the instance is called.

    The methods ``get_fields(request)``, ``get_filterable_fields(request)`` and so on return the names for one client.
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
        """Return the readable fields; all other fields do not exist for the client."""
        return self.fields

    def get_filterable_fields(self, request: RpcRequest) -> Iterable[str] | None:
        """Return the fields that queries of this client may use; None means the readable fields."""
        return self.filterable_fields

    def get_writable_fields(self, request: RpcRequest) -> Iterable[str] | None:
        """Return the fields that this client may set; None means the readable fields."""
        return self.writable_fields

    def get_readonly_fields(self, request: RpcRequest) -> Iterable[str]:
        """Return the fields among these that this client may not set."""
        return self.readonly_fields

    def get_queryset(self, request: RpcRequest) -> QuerySet:
        """Return the rows that exist for this client, in all its queries."""
        return self.model._default_manager.get_queryset()

    def has_permission(self, request: RpcRequest, operation: str) -> bool:
        """Return True if this client may do ``operation``: an item of `OPERATIONS`, or the name of a method."""
        return operation in self.operations or operation in self.methods


class OpenModelRpc(ModelRpc):
    """All permissions, for an unregistered model of a service with ``STRICT=False``."""

    fields = "__all__"
    operations = OPERATIONS
