"""Time zone and language for the evaluation of a request."""

from __future__ import annotations

import datetime
from typing import NamedTuple

__all__ = ["Locale"]


class Locale(NamedTuple):
    """Zones and language of a client, as the texts of a request (`wire.messages.Request`).

    ``naive_zone`` is the zone of naive datetimes at a client that has only naive datetimes (``USE_TZ = False``).
    """

    zone: str = ""
    default_zone: str = ""
    language: str = ""
    naive_zone: datetime.tzinfo | None = None
