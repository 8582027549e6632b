"""The fields that log records of both ends have beside their text (``extra``), by one name each.

docs/howto/observe.md lists them; a test holds that there are no others.
"""

from __future__ import annotations

from typing import Any

from django_rpc.wire.messages import ClientInfo

__all__ = ["claims", "harmless"]

_LENGTH = 200


def claims(client: ClientInfo) -> dict[str, Any]:
    """What a caller says of itself, made harmless for a log."""
    return {
        "rpc_client_host": harmless(client.host),
        "rpc_client_process": client.process,
        "rpc_client_name": harmless(client.name),
        "rpc_called_at": client.called_at,
    }


def harmless(text: str, length: int = _LENGTH) -> str:
    r"""One line of printable characters, and not a long one.

    >>> harmless("evil\n2026 INFO all is well")
    'evil\\n2026 INFO all is well'
    """
    if len(text) <= length and text.isprintable():
        return text
    shown = text[:length]
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)
