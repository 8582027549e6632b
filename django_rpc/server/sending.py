"""What is to be sent for one request."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from django_rpc.server.clients import Client
from django_rpc.wire.messages import HandOver

__all__ = ["Sending"]


class Sending(NamedTuple):
    """The ``answer`` (None: nothing goes to the client), and the values ``handed`` to other messages for ``client``.

    Nobody waits for them after ``expires``.

    ``finish`` is called when all has been sent: after that the same message is not taken again.  If the worker dies
    before, the message comes again, and its sender, who may have no answer yet, must not be told that it is refused.
    """

    answer: bytes | None
    finish: Callable[[], None]
    handed: tuple[tuple[HandOver, bytes], ...] = ()
    expires: float | None = None
    client: Client | None = None
