"""What a hook of the server (``get_queryset``, ``has_permission``, a registered method) learns of the caller."""

from __future__ import annotations

import dataclasses
from typing import Any

from django_rpc.server.core.clients import ANONYMOUS
from django_rpc.wire.messages import ClientInfo

__all__ = ["ANONYMOUS", "RpcRequest"]


@dataclasses.dataclass(slots=True)
class RpcRequest:
    """One call.

    ``client`` is the name of the caller that the server has checked, ``"anonymous"`` for an unsigned request.
    ``user`` is its Django user, AnonymousUser where it has none (None without ``django.contrib.auth``).
    ``info`` is what the caller claims of itself (host, process, time): for logs, never for a decision.
    ``may_ship``: whether it may ship functions, which then do whatever they like.
    """

    id: str = ""
    client: str = ANONYMOUS
    info: ClientInfo = dataclasses.field(default_factory=ClientInfo)
    user: Any = None
    may_ship: bool = False
