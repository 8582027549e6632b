"""Clients of a service, read from ``DJANGO_RPC["CLIENTS"]``.

Example: ``{"shop": {"keys": {"2026-01": "..."}, "user": "rpc-shop"}}``. `RpcRequest.client` is the name. Without
CLIENTS, each caller is ``anonymous``. With CLIENTS, unsigned requests are refused, unless ``anonymous`` is in
CLIENTS.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django_rpc.errors import ImproperSettings
from django_rpc.server.core.limits import DEFAULT, Allowance, read_limits

if TYPE_CHECKING:
    from django_rpc.wire.signing import Key

__all__ = ["ANONYMOUS", "Client", "read_clients", "read_service_key"]

#: Client of an unsigned request.
ANONYMOUS = "anonymous"
_OPTIONS = ("keys", "user", "limits", "cloudpickle")


@dataclass(frozen=True, slots=True)
class Client:
    """Client with its keys by their ids, the Django user with its permissions, and its limits.

    ``may_ship`` is True if it may send functions by cloudpickle.
    """

    name: str
    keys: Mapping[str, Key] = field(default_factory=dict)
    user: str | None = None
    limits: Allowance = DEFAULT
    may_ship: bool = False


def read_clients(setting: Mapping[str, Any], limits: Allowance = DEFAULT) -> dict[str, Client]:
    """Return the clients by name; ``limits`` are the limits of a client without other limits.

    Raises ImproperSettings for a mistake, without a key in its text.
    """
    if not setting:
        return {ANONYMOUS: Client(ANONYMOUS, limits=limits)}
    return {name: _read_client(name, options, limits) for name, options in setting.items()}


def _read_client(name: Any, options: Any, limits: Allowance) -> Client:
    where = f"DJANGO_RPC['CLIENTS'][{name!r}]"
    if not isinstance(name, str) or not name:
        raise ImproperSettings(f"{where}: the name of a client is a text.")
    if not isinstance(options, Mapping):
        raise ImproperSettings(f"{where} has to be a dict with {', '.join(_OPTIONS)}.")
    for option in options:
        if option not in _OPTIONS:
            near = difflib.get_close_matches(str(option), _OPTIONS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(_OPTIONS)}."
            raise ImproperSettings(f"{where} has no {option!r}; {hint}")
    user = options.get("user")
    if user is not None and not isinstance(user, str):
        raise ImproperSettings(f"{where}['user'] is the name of a user, a text.")
    limits = read_limits(options.get("limits", {}), f"{where}['limits']", limits)
    may_ship = options.get("cloudpickle", False)
    if not isinstance(may_ship, bool):
        raise ImproperSettings(f"{where}['cloudpickle'] is True or False; it is {may_ship!r}.")
    if may_ship and name == ANONYMOUS:
        raise ImproperSettings(
            f"{where} has 'cloudpickle': {ANONYMOUS!r} is every program that can write to the broker, and could "
            "run any code. Give the client a name and a key."
        )
    return Client(name, _read_keys(where, name, options.get("keys")), user, limits, may_ship)


def _read_keys(where: str, name: str, setting: Any) -> Mapping[str, Key]:
    if name == ANONYMOUS:
        if setting:
            raise ImproperSettings(f"{where} has keys: {ANONYMOUS!r} is a caller that does not sign.")
        return {}
    # PyJWT is imported only if there are keys.
    from django_rpc.wire.signing import read_keys

    try:
        keys = read_keys(setting)
    except ValueError as error:
        raise ImproperSettings(f"{where}['keys'] {error}") from None
    for key in keys.values():
        if key.algorithm == "EdDSA" and key.signs:
            raise ImproperSettings(
                f"{where}['keys'][{key.id!r}] is the client's private key: only the client should have it. Give its "
                "public key (openssl pkey -in private.pem -pubout)."
            )
    return keys


def read_service_key(text: str, key_id: str) -> Key | None:
    """Return the key of the service; None without one. Raises ImproperSettings."""
    if not text:
        return None
    from django_rpc.wire.signing import read_key

    try:
        key = read_key(text, key_id)
    except ValueError as error:
        raise ImproperSettings(f"DJANGO_RPC['KEY'] {error}") from None
    if key.algorithm != "EdDSA" or not key.signs:
        raise ImproperSettings(
            "DJANGO_RPC['KEY'] signs the answers to clients with Ed25519 keys: it has to be a private Ed25519 key. "
            "(Answers to a client with a secret are signed with that secret.)"
        )
    return key
