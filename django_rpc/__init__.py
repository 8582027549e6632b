"""Use the models of another Django service as if they were local, over Celery."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_rpc.graph.delayed import Delayed, compute, delayed

    def mirror(label: str, using: str = "rpc") -> Any:
        """The mirror of a service's model, made in memory: `django_rpc.models.mirror.mirror`."""


__all__ = ["Delayed", "__version__", "compute", "delayed", "mirror"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """The graph's names, imported when they are first asked for: a worker's start needs none of them."""
    if name in ("Delayed", "compute", "delayed"):
        return getattr(importlib.import_module("django_rpc.graph.delayed"), name)
    if name == "mirror":
        return importlib.import_module("django_rpc.models.mirror").mirror
    raise AttributeError(f"module 'django_rpc' has no attribute {name!r}")
