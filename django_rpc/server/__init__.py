"""The service's side of django_rpc: exposed models, permissions, and the evaluation of a client's graph.

>>> from django_rpc.server import ModelRpc, site
"""

from typing import Any

from django_rpc.server.core.reply import Sending
from django_rpc.server.core.request import RpcRequest
from django_rpc.server.errors.public import public_error
from django_rpc.server.registry.model_rpc import ModelRpc
from django_rpc.server.registry.permissions import DjangoModelPermissions
from django_rpc.server.registry.site import RpcSite, autodiscover, site

__all__ = [
    "DjangoModelPermissions",
    "ModelRpc",
    "RpcRequest",
    "RpcSite",
    "Sending",
    "autodiscover",
    "handle",
    "public_error",
    "seal",
    "serve",
    "site",
    "tell",
]


def __getattr__(name: str) -> Any:
    # Imported late: the module rpc.py of an app imports this package before all apps are loaded.
    if name in ("handle", "seal", "serve", "tell"):
        from django_rpc.server import handler

        return getattr(handler, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
