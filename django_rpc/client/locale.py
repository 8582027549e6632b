"""Time zone and language that a request is evaluated in."""

from __future__ import annotations

import datetime
from typing import NamedTuple

__all__ = ["Locale"]


class Locale(NamedTuple):
    """Zones and language of a client, as the texts of a request (`wire.messages.Request`).

    ``naive_zone`` is the zone of naive datetimes at a client that has no others (``USE_TZ = False``).
    """

    zone: str = ""
    default_zone: str = ""
    language: str = ""
    naive_zone: datetime.tzinfo | None = None
