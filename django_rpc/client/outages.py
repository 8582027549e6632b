"""Services that were unreachable a short time ago, so that a printed queryset does not wait for them again."""

from __future__ import annotations

import time

from django_rpc.errors import BrokerUnavailable, ResultBackendUnavailable, RpcTimeout

__all__ = ["note_end", "recent_outage"]

#: How long an outage is remembered, in seconds.
_SECONDS = 10.0
_OUTAGES = (BrokerUnavailable, ResultBackendUnavailable, RpcTimeout)

#: Alias -> time and text of the failure of its last message. It holds no error, since an error keeps its frames alive.
_failed: dict[str, tuple[float, str]] = {}


def note_end(alias: str, error: Exception | None) -> None:
    """Remember how a message to the service ended."""
    if isinstance(error, _OUTAGES):
        _failed[alias] = (time.monotonic(), f"{type(error).__name__}: {error}")
    elif _failed:
        _failed.pop(alias, None)


def recent_outage(alias: str) -> str:
    """Return the error of the last message to the service, if it failed a short time ago; otherwise an empty text."""
    failed_at, text = _failed.get(alias, (0.0, ""))
    return text if text and time.monotonic() - failed_at <= _SECONDS else ""
