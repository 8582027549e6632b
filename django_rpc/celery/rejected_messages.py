"""Log entry and metric of a message that a worker rejects before its request is decoded."""

from __future__ import annotations

import logging

from celery.utils.saferepr import saferepr

__all__ = ["CODE", "reject"]

logger = logging.getLogger("django_rpc.server")

#: Label of the metric ``django_rpc_server_refusals_total``.
CODE = "MalformedMessage"
_LONGEST = 300


def reject(reason: str) -> None:
    """Log a rejected message, and notify the observers, which count it."""
    from django_rpc.server import tell  # needs the app registry, which is not ready at Celery's import

    shown = saferepr(reason, _LONGEST)[1:-1]
    logger.warning("A message on the queue was refused: %s.", shown)
    tell("", "refused", CODE, shown)
