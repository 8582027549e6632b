"""Time zone and language of the client, active while the server works on one request.

Django has three time zones. The active zone is used for ``__date`` and ``TruncDay``. The default zone
(``TIME_ZONE``) is the zone of naive datetimes. The third is the zone of a database connection. A request carries the
first two zones, and the server uses its connection.
"""

from __future__ import annotations

import contextlib
import contextvars
import datetime
from collections.abc import Iterator
from typing import Any, cast

from django.conf import settings
from django.utils import timezone, translation

from django_rpc.wire.messages import DEFAULT_LANGUAGE, Request
from django_rpc.wire.zones import UTC, read_zone

__all__ = ["client_locale", "naive_zone"]

_default_zone: contextvars.ContextVar[datetime.tzinfo | None] = contextvars.ContextVar("django_rpc_zone", default=None)


def _context_default_zone(of_settings: Any) -> Any:
    """Return a `get_default_timezone` that returns the client's default zone during a request."""

    def get_default_timezone() -> datetime.tzinfo:
        zone: datetime.tzinfo = _default_zone.get() or of_settings()
        return zone

    get_default_timezone.of_settings = of_settings  # type: ignore[attr-defined]  # a note on the object
    get_default_timezone.cache_clear = of_settings.cache_clear  # type: ignore[attr-defined]  # Django's tests call it
    return get_default_timezone


# Model fields call this function for the zone of a naive datetime, and Django has no other way to change it for
# one thread. Outside a request the function returns the zone of the settings.
if not hasattr(timezone.get_default_timezone, "of_settings"):
    timezone.get_default_timezone = _context_default_zone(timezone.get_default_timezone)


def naive_zone() -> datetime.tzinfo | None:
    """Return the zone of the server's naive datetimes; None if its datetimes are aware (``USE_TZ = True``)."""
    default: Any = timezone.get_default_timezone
    return None if settings.USE_TZ else cast(datetime.tzinfo, default.of_settings())


@contextlib.contextmanager
def client_locale(request: Request) -> Iterator[None]:
    """Activate the zones and the language of a request; restore the previous values, also after an error."""
    zone = read_zone(request.zone or UTC)
    default_zone = read_zone(request.default_zone) if request.default_zone else zone
    language = _language(request.language or DEFAULT_LANGUAGE)
    token = _default_zone.set(default_zone)
    try:
        with timezone.override(zone), contextlib.ExitStack() as stack:
            if translation.get_language() != language:  # an override would stay active as a choice of the thread
                stack.enter_context(translation.override(language))
            yield
    finally:
        _default_zone.reset(token)


def _language(code: str) -> str:
    """Return the language of ``LANGUAGES`` for a code, or the server's default if it does not have the language.

    No other code is activated, since Django keeps a catalogue in memory for each active code.
    """
    if code.lower() == settings.LANGUAGE_CODE.lower():
        return settings.LANGUAGE_CODE
    try:
        return translation.get_supported_language_variant(code)
    except LookupError:
        return settings.LANGUAGE_CODE
