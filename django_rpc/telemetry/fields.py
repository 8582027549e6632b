"""Fields of log records of both ends (``extra``).

docs/howto/observe.md lists all fields, and a test checks that the list is complete.
"""

from __future__ import annotations

from typing import Any

from django_rpc.wire.messages import ClientInfo

__all__ = ["claims", "harmless"]

_LENGTH = 200


def claims(client: ClientInfo) -> dict[str, Any]:
    """Return the fields that the caller claims about itself, with texts that are safe in a log."""
    return {
        "rpc_client_host": harmless(client.host),
        "rpc_client_process": client.process,
        "rpc_client_name": harmless(client.name),
        "rpc_called_at": client.called_at,
    }


def harmless(text: str, length: int = _LENGTH) -> str:
    r"""Return ``text`` as one line of at most ``length`` characters, with unprintable characters escaped.

    >>> harmless("evil\n2026 INFO all is well")
    'evil\\n2026 INFO all is well'
    """
    if len(text) <= length and text.isprintable():
        return text
    shown = text[:length]
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)
