"""Functions of the service that clients call by name: ``@site.function``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS

from django_rpc.graph.vocabulary import check_identifier
from django_rpc.server.error_texts import public_error
from django_rpc.server.request import RpcRequest

__all__ = ["ServerFunction", "UnknownFunction", "checked_name", "server_function"]


@public_error
class UnknownFunction(LookupError):
    """The function is not there, or not for this client, who is told which are."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"This service has no function {name!r}. There are: {', '.join(sorted(known)) or 'none'}.")


@dataclasses.dataclass(frozen=True, slots=True)
class ServerFunction:
    """What is registered under ``name``.

    ``permission`` says of a request whether its client may call it (None: every client may).  ``reads_only``: it
    changes nothing.  Otherwise a call runs in a transaction on each of ``databases``.  ``with_request``: its first
    argument is the `RpcRequest`.
    """

    name: str
    call: Callable[..., Any]
    permission: Callable[[RpcRequest], bool] | None = None
    reads_only: bool = False
    with_request: bool = False
    databases: tuple[str, ...] = (DEFAULT_DB_ALIAS,)

    def is_open_to(self, request: RpcRequest) -> bool:
        """Whether the client of ``request`` may call it."""
        return self.permission is None or bool(self.permission(request))


def checked_name(registered: Any, name: str | None) -> str:
    """The name that clients know ``registered`` by: ``name``, or its own. ImproperlyConfigured for a wrong one."""
    name = str(getattr(registered, "__name__", "")) if name is None else name
    try:
        check_identifier(name)
    except (TypeError, ValueError) as error:
        text = f"{registered!r} cannot be registered as {name!r}: {error} Give a name='...'."
        raise ImproperlyConfigured(text) from None
    return name


def server_function(call: Any, name: str | None, databases: Any, **options: Any) -> ServerFunction:
    """What ``@site.function`` registers; raises ImproperlyConfigured for a declaration with a mistake."""
    if not callable(call):
        raise ImproperlyConfigured(f"@site.function decorates a function; {call!r} is none. A name goes by name='...'.")
    name = checked_name(call, name)
    aliases = (databases,) if isinstance(databases, str) else tuple(databases)
    return ServerFunction(name, call, databases=aliases, **options)
