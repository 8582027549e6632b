"""Failure of one value, in a reply with other values that succeeded."""

from __future__ import annotations

import logging

from django_rpc.server.errors.reports import log_level, report
from django_rpc.server.policy.client_policy import CURRENT
from django_rpc.wire.messages import ErrorReport

__all__ = ["Failure"]

logger = logging.getLogger("django_rpc.server")


class Failure:
    """Placeholder for a value that could not be computed: the error, and the index of the node that raised it."""

    __slots__ = ("error", "position")

    def __init__(self, error: Exception, position: int | None) -> None:
        self.error = error
        self.position = position

    def report(self) -> ErrorReport:
        """Return the report for the client that replaces the value; log the error if its text was withheld."""
        policy = CURRENT.get(None)
        made = report(self.error, self.position, policy=policy)
        if policy is not None:
            policy.failures.append(made.code)
        if log_level(made) > logging.INFO:
            name = made.remote_name or made.code
            logger.log(log_level(made), "A value could not be had: %s", name, exc_info=self.error)
        return made
