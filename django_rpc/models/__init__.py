"""The Django client: mirrors of a service's models."""

from django_rpc.models.base import RpcModel
from django_rpc.models.custom_expressions import register_expression
from django_rpc.models.manager import RpcManager
from django_rpc.models.queryset import RpcQuerySet

__all__ = ["RpcManager", "RpcModel", "RpcQuerySet", "register_expression"]
