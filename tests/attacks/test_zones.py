"""Names of time zones and languages in a message: none of them is a path to another file of the server."""

from __future__ import annotations

import zoneinfo
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.utils import translation

#: Names that are no names of the IANA database: paths, other files of its folder, and long names.
NAMES = {
    "a parent folder": "../../etc/passwd",
    "an absolute path": "/etc/passwd",
    "a folder of copies": "right/UTC",
    "another file": "posixrules",
    "a hidden file": ".git/config",
    "a null byte": "Europe/Berlin\0.txt",
    "another separator": "Europe\\Berlin",
    "a line break": "Europe/Berlin\n",
    "many folders": "A/B/C/D/E",
    "a long name": "A" * 5_000,
}


@pytest.fixture
def opened(monkeypatch):
    """Return the list of the names that are looked up in the database of zones."""
    names = []

    def look_up(key):
        names.append(key)
        raise zoneinfo.ZoneInfoNotFoundError(key)

    database = SimpleNamespace(ZoneInfo=look_up, ZoneInfoNotFoundError=zoneinfo.ZoneInfoNotFoundError)
    monkeypatch.setattr("django_rpc.wire.zones.zoneinfo", database)
    return names


@pytest.mark.parametrize("place", ["zone", "default_zone", "a value"])
@pytest.mark.parametrize("name", NAMES)
def test_a_zone_is_a_name_and_no_path(send, opened, name, place):
    """A name with another form is refused before a file is opened."""
    text = NAMES[name]
    if place == "a value":
        answered = send([["literal", {"$zone": text}]])
    else:
        answered = send([["literal", 1]], **{place: text})
    assert answered.code in ("BadValue", "BadMessage")
    assert answered.statements == []
    assert opened == []


#: Codes that are no languages of the service; Django keeps a catalogue in memory for each code that is activated.
LANGUAGES = {
    **NAMES,
    "no language": "xx",
    "a variant that does not exist": "de-x-1",
    "a language that the service does not offer": "tlh",
    "many parts": "-".join(["de"] * 200),
    "many underscores": "de_" * 200,
    "no text": "",
}


@pytest.mark.parametrize("name", LANGUAGES)
def test_language_is_known_to_the_service(send, monkeypatch, name):
    activated = []
    real = translation.activate
    monkeypatch.setattr(translation, "activate", lambda code: activated.append(code) or real(code))
    answered = send([["literal", 1]], language=LANGUAGES[name])
    assert answered.code in ("answered", "BadValue", "BadMessage"), answered.text
    assert set(activated) <= {settings.LANGUAGE_CODE, *dict(settings.LANGUAGES)}
