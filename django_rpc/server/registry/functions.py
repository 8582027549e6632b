"""Functions of the service that clients call by name: ``@site.function``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS

from django_rpc.errors import UnknownFunction
from django_rpc.graph.vocabulary.names import check_identifier
from django_rpc.server.core.request import RpcRequest
from django_rpc.server.errors.public import public_error

__all__ = ["ServerFunction", "checked_name", "server_function", "unknown_function"]


def unknown_function(name: str, allowed: Iterable[str]) -> UnknownFunction:
    """Return the error for a function that does not exist or is hidden; it lists the functions of the client."""
    return public_error(
        UnknownFunction(f"This service has no function {name!r}. There are: {', '.join(sorted(allowed)) or 'none'}.")
    )


@dataclasses.dataclass(frozen=True, slots=True)
class ServerFunction:
    """A function that is registered under ``name``.

    - ``permission`` returns True for a request if its client may call the function; None allows every client.
    - ``reads_only``: the function changes nothing. Otherwise a call runs in a transaction on each of ``databases``.
    - ``with_request``: the first argument is the `RpcRequest`.
    """

    name: str
    call: Callable[..., Any]
    permission: Callable[[RpcRequest], bool] | None = None
    reads_only: bool = False
    with_request: bool = False
    databases: tuple[str, ...] = (DEFAULT_DB_ALIAS,)

    def is_open_to(self, request: RpcRequest) -> bool:
        """Return True if the client of ``request`` may call the function."""
        return self.permission is None or bool(self.permission(request))


def checked_name(registered: Any, name: str | None) -> str:
    """Return the name of ``registered`` for clients: ``name``, or its ``__name__``.

    Raises ImproperlyConfigured for a name that is not an identifier.
    """
    name = str(getattr(registered, "__name__", "")) if name is None else name
    try:
        check_identifier(name)
    except (TypeError, ValueError) as error:
        text = f"{registered!r} cannot be registered as {name!r}: {error} Give a name='...'."
        raise ImproperlyConfigured(text) from None
    return name


def server_function(call: Any, name: str | None, databases: Any, **options: Any) -> ServerFunction:
    """Return the function that ``@site.function`` registers; raises ImproperlyConfigured for a wrong declaration."""
    if not callable(call):
        raise ImproperlyConfigured(
            f"@site.function decorates a function; {call!r} is none. The argument for a name is name='...'."
        )
    name = checked_name(call, name)
    aliases = (databases,) if isinstance(databases, str) else tuple(databases)
    return ServerFunction(name, call, databases=aliases, **options)
