"""How much a request may cost, and the errors for one that costs more: one class for each limit, which names it."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured

from django_rpc.server.error_texts import public_error
from django_rpc.wire.limits import RESPONSE_LIMITS, Limits

__all__ = [
    "DEFAULT",
    "EXCEEDED",
    "Allowance",
    "DeadlineExceeded",
    "LimitExceeded",
    "ResponseTooLarge",
    "TooManyRequests",
    "TooManyRows",
    "TooManyStatements",
    "read_limits",
]


@dataclasses.dataclass(frozen=True, slots=True)
class Allowance(Limits):
    """What one request of a client may hold (`Limits`) and cost; ``requests`` counts those of a minute.

    >>> Allowance(rows=10).rows
    10
    """

    #: Unbounded results: rows that the queries of a request read, all in all.
    rows: int = 1_000_000
    #: Unbounded results: the answer, as it crosses the wire.
    response_bytes: int = 256 * 1024 * 1024
    #: Memory of the result backend: values of a request that wait there for other services.
    handed_bytes: int = 16 * 1024 * 1024
    #: Memory of the result backend: values of all requests of a client that wait there, by number and size.
    parked_messages: int = 1_000
    parked_bytes: int = 256 * 1024 * 1024
    #: Amplification: SQL statements of a request.
    statements: int = 10_000
    #: Amplification: queries within one query, each as often as it stands there.
    subqueries: int = 500
    #: Expensive queries: tables that one query joins.
    joins: int = 30
    #: Expensive queries: from the first to the last statement of a request; the database stops one that takes longer.
    seconds: float = 120.0
    #: Floods: requests a minute.
    requests: int = 100_000
    #: Rows of the ledger: requests an hour that are withdrawn before the service knows them.
    withdrawals: int = 1_000

    @property
    def of_response(self) -> Limits:
        """What the codec may write for an answer."""
        return dataclasses.replace(RESPONSE_LIMITS, message_bytes=self.response_bytes)


DEFAULT = Allowance()


@public_error
class LimitExceeded(Exception):
    """A request costs more than its client may cost."""

    limit: ClassVar[str] = ""
    advice: ClassVar[str] = ""

    def __init__(self, allowed: float, details: str = "", limit: str = "") -> None:
        """``limit``: the name of the limit, where that is not the one of the class."""
        super().__init__(
            f"{details or self.__doc__} At most {allowed:,} are allowed (limit {limit or self.limit!r}). {self.advice}"
        )


class TooManyRows(LimitExceeded):
    """The queries of the request read too many rows."""

    limit = "rows"
    advice = "Filter or slice the query, or ask for it in parts."


class ResponseTooLarge(LimitExceeded):
    """The answer has too many bytes."""

    limit = "response_bytes"
    advice = "Ask for fewer rows or fields."


class TooManyStatements(LimitExceeded):
    """The request runs too many SQL statements."""

    limit = "statements"
    advice = "Write many rows with bulk_create(), read them with one query, or send the request in parts."


class DeadlineExceeded(LimitExceeded):
    """The request took too many seconds."""

    limit = "seconds"
    advice = "Nothing of it was written. Filter the query, or ask for it in parts."


class TooManyRequests(LimitExceeded):
    """The client sent too many requests in the time of the limit."""

    limit = "requests"
    advice = "Send several calls as one, or wait."


#: The error of each limit that is counted while a request is answered.
EXCEEDED: dict[str, type[LimitExceeded]] = {
    kind.limit: kind for kind in (TooManyRows, ResponseTooLarge, TooManyStatements, DeadlineExceeded, TooManyRequests)
}


def read_limits(given: Any, where: str, base: Allowance = DEFAULT) -> Allowance:
    """``given`` on top of ``base``; raises ImproperlyConfigured for an unknown limit or a wrong value."""
    known = {field.name: type(getattr(DEFAULT, field.name)) for field in dataclasses.fields(Allowance)}
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured(f"{where} has to be a dict of limits, not {type(given).__name__}.")
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ImproperlyConfigured(f"{where} has no limit {name!r}; there are {', '.join(sorted(known))}.{hint}")
        kinds = (int, float) if known[name] is float else (int,)
        if not isinstance(value, kinds) or isinstance(value, bool) or value <= 0:
            raise ImproperlyConfigured(f"{where}[{name!r}] has to be a number above 0; it is {value!r}.")
    return dataclasses.replace(base, **given)
