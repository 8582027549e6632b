"""Zones and languages of requests: their bytes, refusals by the reader, and ends without aware datetimes."""

from __future__ import annotations

import datetime as dt
import zoneinfo

import pytest

from django_rpc.errors import BadMessage, BadValue
from django_rpc.graph.nodes import Insert, Literal, ModelSource
from django_rpc.graph.values import RowSet
from django_rpc.wire.codec import (
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    request_content,
)
from django_rpc.wire.messages import Request, Response
from django_rpc.wire.zones import read_zone, zone_text

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
ST_JOHNS = zoneinfo.ZoneInfo("America/St_Johns")
NAIVE = dt.datetime(2024, 7, 1, 12, 30, 15, 7)
MOMENT = NAIVE.replace(tzinfo=BERLIN)


def request(value=None, **options):
    return Request(id="r", nodes=(Literal(value=value),), outputs=(0,), **options)


class Pytz(dt.tzinfo):
    """A zone as pytz makes it: it has the attribute ``zone``."""

    zone = "Asia/Tokyo"


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        (dt.UTC, "UTC"),
        (zoneinfo.ZoneInfo("UTC"), "UTC"),
        (BERLIN, "Europe/Berlin"),
        (Pytz(), "Asia/Tokyo"),
        (dt.timezone(dt.timedelta(hours=5, minutes=45), "+0545"), "+05:45"),
        (dt.timezone(-dt.timedelta(minutes=30)), "-00:30"),
        (dt.timezone(dt.timedelta(hours=23, minutes=59, seconds=59)), "+23:59:59"),
    ],
)
def test_the_text_of_a_zone(zone, text):
    assert zone_text(zone) == text
    assert zone_text(read_zone(text)) == text


@pytest.mark.parametrize(
    "zone", [dt.timezone(dt.timedelta(microseconds=1)), zoneinfo.ZoneInfo.no_cache("UTC").from_file]
)
def test_a_zone_without_a_text(zone):
    if callable(zone):  # a zone that was read from a file has no name
        with open(zoneinfo.TZPATH[0] + "/Europe/Berlin", "rb") as data:
            zone = zone(data)
    with pytest.raises(BadValue, match="neither a name nor an offset"):
        zone_text(zone)


@pytest.mark.parametrize(
    "text",
    [
        "Mars/Olympus", "../UTC", "/etc/localtime", "localtime", "posix/UTC", "right/UTC", "posixrules", "America",
        "A/../UTC", "UTC\n", " UTC", "utc", "Europe/Berlin\0",
        "tzdata.zi", "x" * 1000, "+24:00", "+05:60", "+5:30", "5", "+٠٥:٣٠",
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["zone", "default_zone"])
def test_a_zone_that_is_refused(key, text):
    data = encode_request(request(**{key: text}))
    with pytest.raises(BadValue, match="time zone") as caught:
        decode_request(data)
    assert caught.value.request_id == "r"
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["d" * 9, "de_DE", "de\n", "../de", "de-" * 20, "de--at", "é", "-de"])
def test_a_language_that_is_refused(text):
    with pytest.raises(BadMessage):
        decode_request(encode_request(request(language=text)))


@pytest.mark.parametrize("text", ["de", "pt-br", "zh-hans", "sr-latn", "nb@posix", "EN-gb"])
def test_a_language_is_carried(text):
    assert decode_request(encode_request(request(language=text))).language == text


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"zone": "UTC"},
        {"zone": "UTC", "default_zone": "UTC", "language": "en-us"},
        {"default_zone": "UTC"},
        {"language": "en-US"},
    ],
)
def test_the_usual_zone_and_language_take_no_bytes(options):
    assert encode_request(request(**options)) == encode_request(request())


def test_equal_zones_are_written_once():
    data = encode_request(request(zone="Asia/Kolkata", default_zone="Asia/Kolkata"))
    assert data.count(b"Kolkata") == 1
    assert b'"default_zone":"UTC"' in encode_request(request(zone="Asia/Kolkata", default_zone="UTC"))


def test_ledger_identity_includes_zone_not_language():
    plain, zoned, other, german = (
        request_content(encode_request(request(**options)))
        for options in ({}, {"zone": "Asia/Tokyo"}, {"default_zone": "Asia/Tokyo"}, {"language": "de"})
    )
    assert len({plain, zoned, other}) == 3
    assert german == plain


def test_naive_datetimes_of_naive_project_are_moments():
    value = [NAIVE, {"at": (NAIVE,)}, NAIVE.date(), NAIVE.time(), MOMENT.astimezone(dt.UTC)]
    data = encode_request(request(value), naive_zone=BERLIN)
    assert decode_request(data).nodes[0].value == [MOMENT, {"at": (MOMENT,)}, NAIVE.date(), NAIVE.time(), MOMENT]
    local = MOMENT.astimezone(ST_JOHNS).replace(tzinfo=None)
    assert decode_request(data, naive_zone=ST_JOHNS).nodes[0].value[0] == local
    assert decode_request(data, naive_zone=BERLIN).nodes[0].value[0] == NAIVE


def test_rows_of_an_end_without_aware_datetimes():
    rows = RowSet(("id", "at"), [(1, NAIVE), (2, None)])
    data = encode_response(Response(id="r", outputs=(rows, NAIVE)), naive_zone=BERLIN)
    assert decode_response(data).outputs[0].rows == [(1, MOMENT), (2, None)]
    utc = RowSet(("at",), [(MOMENT.astimezone(dt.UTC),), (None,)])
    aware = encode_response(Response(id="r", outputs=(utc, [utc])))
    decoded = decode_response(aware, naive_zone=BERLIN).outputs
    assert decoded[0].rows == decoded[1][0].rows == [(NAIVE,), (None,)]


def test_inserted_rows_of_an_end_without_aware_datetimes():
    node = Insert("shop.Order", "rpc", ("created",), ((NAIVE,), (None,)))
    data = encode_request(Request(id="r", nodes=(node,), outputs=(0,)), naive_zone=BERLIN)
    assert decode_request(data).nodes[0].rows == ((MOMENT,), (None,))


@pytest.mark.parametrize("fold", [0, 1])
def test_clock_change_hours_are_exact(fold):
    twice, never = dt.datetime(2024, 10, 27, 2, 30, fold=fold), dt.datetime(2024, 3, 31, 2, 30)
    data = encode_response(Response(id="r", outputs=([twice, never],)), naive_zone=BERLIN)
    [values] = decode_response(data, naive_zone=BERLIN).outputs
    assert values == [twice, never]
    assert values[0].fold == fold


def test_a_moment_beyond_the_calendar_of_the_reader_is_an_error():
    data = encode_response(Response(id="r", outputs=(dt.datetime.max.replace(tzinfo=dt.UTC),)))
    with pytest.raises(BadValue, match="outside the calendar"):
        decode_response(data, naive_zone=BERLIN)


def test_a_source_has_no_zone():
    source = ModelSource(model="shop.Order", service="rpc")
    data = encode_request(Request(id="r", nodes=(source,), outputs=(0,)), naive_zone=BERLIN)
    assert data == encode_request(Request(id="r", nodes=(source,), outputs=(0,)))
