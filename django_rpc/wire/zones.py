"""Encoding of time zones in a message: an IANA name, or a fixed offset from UTC.

>>> zone_text(datetime.timezone(datetime.timedelta(hours=5, minutes=30)))
'+05:30'
>>> read_zone("Asia/Kolkata"), read_zone("-03:30")
(zoneinfo.ZoneInfo(key='Asia/Kolkata'), datetime.timezone(datetime.timedelta(days=-1, seconds=73800)))
"""

from __future__ import annotations

import datetime
import re
import zoneinfo

from django_rpc.errors import BadValue

__all__ = ["UTC", "as_moment", "as_naive", "named_zone", "read_zone", "zone_text"]

UTC = "UTC"
_OFFSET = re.compile(r"([+-])(\d\d):([0-5]\d)(?::([0-5]\d))?", re.ASCII)
#: Names of the IANA database begin with a capital letter, unlike other files there: ``localtime``, ``right/UTC``.
_NAME = re.compile(r"[A-Z][A-Za-z0-9_+-]{0,39}(?:/[A-Za-z0-9_+-]{1,40}){0,3}", re.ASCII)
#: Longer than every IANA name, so that an error can quote the text.
_MAX_LENGTH = 64


def zone_text(zone: datetime.tzinfo) -> str:
    """Return the text of a zone; raise BadValue for a zone that has neither a name nor a fixed offset."""
    name = getattr(zone, "key", None) or getattr(zone, "zone", None)  # zoneinfo, pytz
    if isinstance(name, str):
        return name
    offset = zone.utcoffset(None)
    if offset is None or offset.microseconds:
        raise BadValue(
            f"The time zone {zone!r} has neither a name nor an offset in whole seconds: make it by its name, as in "
            "ZoneInfo('Europe/Berlin')."
        )
    if not offset:
        return UTC
    minutes, seconds = divmod(abs(offset) // datetime.timedelta(seconds=1), 60)
    text = f"{'-' if offset < datetime.timedelta() else '+'}{minutes // 60:02}:{minutes % 60:02}"
    return f"{text}:{seconds:02}" if seconds else text


def read_zone(text: str) -> datetime.tzinfo:
    """Return the zone of a text; raise BadValue for an unknown name or an offset of a day or more."""
    if text == UTC:
        return datetime.UTC
    match = _OFFSET.fullmatch(text[:_MAX_LENGTH])
    if match is None:
        return named_zone(text)
    sign, hours, minutes, seconds = match.groups()
    offset = datetime.timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds or 0))
    if offset >= datetime.timedelta(days=1):
        raise BadValue(f"The time zone {text!r} is a day or more from UTC.")
    return datetime.timezone(-offset if sign == "-" else offset)


def named_zone(name: str) -> zoneinfo.ZoneInfo:
    """Return the zone with an IANA name; raise BadValue for a name that this machine does not have."""
    try:
        if _NAME.fullmatch(name):
            return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, OSError, ValueError):
        pass
    raise BadValue(
        f"The time zone {name[:_MAX_LENGTH]!r} is not known at the end that read the message. Use a name of the IANA "
        "database; where that end has no such database, install the package 'tzdata' there."
    )


def as_moment(value: datetime.datetime, zone: datetime.tzinfo | None) -> datetime.datetime:
    """Return ``value``; a naive value gets the time zone ``zone``, if there is a zone."""
    return value if zone is None or value.tzinfo is not None else value.replace(tzinfo=zone)


def as_naive(value: datetime.datetime, zone: datetime.tzinfo | None) -> datetime.datetime:
    """Return ``value``; an aware value becomes the naive local time of ``zone``, if there is a zone."""
    if zone is None or value.tzinfo is None:
        return value
    try:
        return value.astimezone(zone).replace(tzinfo=None)
    except OverflowError:
        raise BadValue(f"The datetime {value} is outside the calendar in the zone {zone}.") from None
