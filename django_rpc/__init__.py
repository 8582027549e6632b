"""Use the models of another Django service as if they were local, over Celery."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_rpc.client.idempotency import once
    from django_rpc.client.outcome import aoutcome, outcome
    from django_rpc.client.progress import ProgressBar
    from django_rpc.client.waiting import agather, as_completed, gather, wait
    from django_rpc.graph.delayed.delayed import Delayed, compute, delayed
    from django_rpc.graph.delayed.lambdas import cond
    from django_rpc.graph.draw.visualize import visualize_error
    from django_rpc.graph.nodes.pickled_function import ship
    from django_rpc.graph.nodes.remote_function import function

    #: A block that is one message and one transaction: `django_rpc.models.atomic.atomic`.
    atomic: Any

    def mirror(label: str, using: str = "rpc") -> Any:
        """Return the mirror of a model of the service, made in memory: `django_rpc.models.mirror.mirror`."""


__all__ = [
    "Delayed",
    "ProgressBar",
    "__version__",
    "agather",
    "aoutcome",
    "as_completed",
    "atomic",
    "compute",
    "cond",
    "delayed",
    "function",
    "gather",
    "mirror",
    "once",
    "outcome",
    "ship",
    "visualize_error",
    "wait",
]

__version__ = "0.1.0"

#: Module of each name.
_MODULES = {
    **dict.fromkeys(("Delayed", "compute", "delayed"), "django_rpc.graph.delayed.delayed"),
    **dict.fromkeys(("agather", "as_completed", "gather", "wait"), "django_rpc.client.waiting"),
    "ProgressBar": "django_rpc.client.progress",
    "atomic": "django_rpc.models.atomic",
    "cond": "django_rpc.graph.delayed.lambdas",
    "function": "django_rpc.graph.nodes.remote_function",
    "ship": "django_rpc.graph.nodes.pickled_function",
    **dict.fromkeys(("aoutcome", "outcome"), "django_rpc.client.outcome"),
    "once": "django_rpc.client.idempotency",
    "mirror": "django_rpc.models.mirror",
    "visualize_error": "django_rpc.graph.draw.visualize",
}


def __getattr__(name: str) -> Any:
    """Import a name at its first use, because the start of a worker needs none of them."""
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'django_rpc' has no attribute {name!r}")
