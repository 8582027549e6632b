"""Limits of the cost of one request, and the error of each limit, one class per limit."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from django_rpc.errors import (
    DeadlineExceeded,
    ImproperSettings,
    LimitExceeded,
    ResponseTooLarge,
    TooManyRequests,
    TooManyRows,
    TooManyStatements,
)
from django_rpc.server.errors.public import public_error
from django_rpc.wire.limits import RESPONSE_LIMITS, Limits

__all__ = ["DEFAULT", "EXCEEDED", "Allowance", "exceeded", "read_limits"]


@dataclasses.dataclass(frozen=True, slots=True)
class Allowance(Limits):
    """Limits of the size (`Limits`) and of the cost of one request; ``requests`` is the limit for one minute.

    >>> Allowance(rows=10).rows
    10
    """

    #: Unbounded results: rows that all queries of a request read together.
    rows: int = 1_000_000
    #: Unbounded results: the encoded reply.
    response_bytes: int = 256 * 1024 * 1024
    #: Memory of the result backend: values of one request that wait there for other services.
    handed_bytes: int = 16 * 1024 * 1024
    #: Memory of the result backend: number and size of the values that wait there, for all requests of a client.
    parked_messages: int = 1_000
    parked_bytes: int = 256 * 1024 * 1024
    #: Amplification: SQL statements of one request.
    statements: int = 10_000
    #: Amplification: subqueries within one query; a subquery that is used twice counts twice.
    subqueries: int = 500
    #: Expensive queries: tables that one query joins.
    joins: int = 30
    #: Expensive queries: time from the first to the last statement of a request; the database stops longer statements.
    seconds: float = 120.0
    #: Floods: requests in one minute.
    requests: int = 100_000
    #: Rows of the ledger: requests in one hour that the client withdraws before the service has received them.
    withdrawals: int = 1_000

    @property
    def of_response(self) -> Limits:
        """Limits for the codec when it encodes a reply."""
        return dataclasses.replace(RESPONSE_LIMITS, message_bytes=self.response_bytes)


DEFAULT = Allowance()


#: The error of each limit that is counted during the evaluation of a request.
EXCEEDED: dict[str, type[LimitExceeded]] = {
    kind.limit: kind for kind in (TooManyRows, ResponseTooLarge, TooManyStatements, DeadlineExceeded, TooManyRequests)
}


def exceeded(kind: type[LimitExceeded], allowed: float, details: str = "", limit: str = "") -> LimitExceeded:
    """Return the error for a limit of ``allowed``; ``limit`` is its name, if it differs from the name in the class.

    >>> print(exceeded(TooManyRows, 10))
    The queries of the request read too many rows. At most 10 are allowed (limit 'rows'). Filter or slice the query, ...
    """
    name = limit or kind.limit
    return public_error(
        kind(f"{details or kind.summary} At most {allowed:,} are allowed (limit {name!r}). {kind.advice}")
    )


def read_limits(setting: Any, where: str, base: Allowance = DEFAULT) -> Allowance:
    """Return ``base`` with the limits of ``setting``; raises ImproperSettings for an unknown limit or wrong value."""
    field_types = {field.name: type(getattr(DEFAULT, field.name)) for field in dataclasses.fields(Allowance)}
    if not isinstance(setting, Mapping):
        raise ImproperSettings(f"{where} has to be a dict of limits, not {type(setting).__name__}.")
    for name, value in setting.items():
        if name not in field_types:
            near = difflib.get_close_matches(str(name), field_types, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ImproperSettings(f"{where} has no limit {name!r}; there are {', '.join(sorted(field_types))}.{hint}")
        kinds = (int, float) if field_types[name] is float else (int,)
        if not isinstance(value, kinds) or isinstance(value, bool) or value <= 0:
            raise ImproperSettings(f"{where}[{name!r}] has to be a number above 0; it is {value!r}.")
    return dataclasses.replace(base, **setting)
