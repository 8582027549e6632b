"""Messages to send for one request."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from django_rpc.server.core.clients import Client
from django_rpc.wire.messages import HandOver

__all__ = ["Sending"]


class Sending(NamedTuple):
    """Reply to a request, and values for other services.

    - ``answer`` is the encoded reply; None if the client receives none.
    - ``handed`` are the values for other messages of ``client``.  After ``expires``, no service waits for them.
    - ``finish`` has to be called after everything was sent.  From then on, the same message is refused.  If the worker
      dies before, the broker delivers the message again.  It must not be refused then, because the client may not have
      received a reply.
    """

    answer: bytes | None
    finish: Callable[[], None]
    handed: tuple[tuple[HandOver, bytes], ...] = ()
    expires: float | None = None
    client: Client | None = None
