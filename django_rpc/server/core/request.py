"""Caller of a request, for the methods of a service (``get_queryset``, ``has_permission``, registered functions)."""

from __future__ import annotations

import dataclasses
from typing import Any

from django_rpc.server.core.clients import ANONYMOUS
from django_rpc.wire.messages import ClientInfo

__all__ = ["ANONYMOUS", "RpcRequest"]


@dataclasses.dataclass(slots=True)
class RpcRequest:
    """One call.

    - ``client`` is the verified name of the caller, ``"anonymous"`` for an unsigned request.
    - ``user`` is its Django user: AnonymousUser if it has none, None without ``django.contrib.auth``.
    - ``info`` is the unverified information from the caller (host, process, time): for logs, never for a decision.
    - ``may_ship`` is True if the caller may send functions, which can run any code.
    """

    id: str = ""
    client: str = ANONYMOUS
    info: ClientInfo = dataclasses.field(default_factory=ClientInfo)
    user: Any = None
    may_ship: bool = False
