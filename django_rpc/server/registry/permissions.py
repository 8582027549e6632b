"""Permissions for a ``ModelRpc``, named as in Django REST framework."""

from __future__ import annotations

from typing import ClassVar

from django_rpc.server.core.request import RpcRequest
from django_rpc.server.registry.model_rpc import ModelRpc

__all__ = ["DjangoModelPermissions"]


class DjangoModelPermissions(ModelRpc):
    """Permissions of the client's Django user (``user.has_perm``): view, add, change and delete of the model.

    @site.register(Order)
    class OrderRpc(DjangoModelPermissions):
        fields = ["id", "number"]
        operations = {"read", "create"}  # at most these

    ``perms_map`` has the permissions that an operation or a registered method requires. A method without an entry
    requires those of ``update``. A client without a user has no permissions.
    """

    perms_map: ClassVar[dict[str, list[str]]] = {
        "read": ["%(app_label)s.view_%(model_name)s"],
        "create": ["%(app_label)s.add_%(model_name)s"],
        "update": ["%(app_label)s.change_%(model_name)s"],
        "delete": ["%(app_label)s.delete_%(model_name)s"],
    }

    def get_required_permissions(self, operation: str) -> list[str]:
        """Return the permissions that ``operation`` requires, for ``user.has_perms``."""
        names = {"app_label": self.model._meta.app_label, "model_name": self.model._meta.model_name}
        needed = self.perms_map.get(operation, self.perms_map["update"])
        return [permission % names for permission in needed]

    def has_permission(self, request: RpcRequest, operation: str) -> bool:
        if not super().has_permission(request, operation) or request.user is None:
            return False
        return bool(request.user.has_perms(self.get_required_permissions(operation)))
