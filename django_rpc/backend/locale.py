"""Time zone and language that Django has active at the client when a query is evaluated."""

from __future__ import annotations

import zoneinfo

from django.conf import settings
from django.utils import timezone, translation

from django_rpc.client.locale import Locale
from django_rpc.wire.zones import zone_text

__all__ = ["current_locale"]


def current_locale() -> Locale:
    """Return the active zone and language; raise BadValue for a zone that has no text."""
    language = translation.get_language() or ""
    if not settings.USE_TZ:  # Django activates no zone: all datetimes are local times of TIME_ZONE
        local = zoneinfo.ZoneInfo(settings.TIME_ZONE or "UTC")
        return Locale(local.key, local.key, language, local)
    zone, default_zone = map(zone_text, (timezone.get_current_timezone(), timezone.get_default_timezone()))
    return Locale(zone, default_zone, language)
