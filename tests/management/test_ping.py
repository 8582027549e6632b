"""``manage.py rpc_ping`` with the service in this process; tests/live/test_ping.py uses real services."""

from __future__ import annotations

import io
import json
import re
import time
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from django_rpc.backend.sessions import session_for
from django_rpc.client.ping import Ping, ping
from django_rpc.server import site
from django_rpc.server.registry import service_info as about

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])
SECRET = "a secret that is long enough for HS256"


def printed(*arguments, out=None):
    out = io.StringIO() if out is None else out
    call_command("rpc_ping", *arguments, stdout=out)
    return out.getvalue()


def test_for_people():
    lines = printed("--count", "3").splitlines()
    assert lines[0] == "rpc: queue django_rpc at this process, answers by this process"
    assert lines[1] == "This client is known there as anonymous."
    assert [line.split()[0] for line in lines[2:5]] == ["milliseconds", "round", "there"]
    assert lines[5].startswith("The clock there is ")
    version = next(line.split() for line in lines if line.startswith("django "))
    assert version[1] == version[2]
    assert any(line.split() == ["shop.Customer", *"create delete read update top_spenders".split()] for line in lines)
    assert lines[-1] == "functions: basket_total rename_tag"


def test_for_programs():
    told = json.loads(printed("--json", "--count", "4", "--priority"))
    assert (told["ok"], told["count"], told["queue"]) == (True, 4, "django_rpc_priority")
    assert 0 < told["there"]["least"] <= told["round_trip"]["least"] <= told["round_trip"]["median"]
    assert told["models"]["shop.AuditEntry"] == {"operations": ["read"], "methods": []}


def test_for_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    assert "┃" in printed(out=Terminal())


def test_first_message_is_not_measured(messages):
    with messages() as sent:
        printed("--count", "3")
    assert len(sent) == 4


def test_permissions_of_this_client(settings, monkeypatch):
    """As the service's policy reports, for the client that it identifies."""
    settings.DJANGO_RPC = {"CLIENTS": {"anonymous": {}}}
    rpc = site._registry[next(model for model in site if model._meta.label == "shop.Customer")]
    monkeypatch.setattr(rpc, "has_permission", lambda request, operation: operation == "read")
    told = json.loads(printed("--json"))
    assert told["models"]["shop.Customer"] == {"operations": ["read"], "methods": []}
    monkeypatch.setattr(rpc, "has_permission", lambda request, operation: False)
    assert "shop.Customer" not in json.loads(printed("--json"))["models"]


def test_a_clock_that_is_wrong(monkeypatch):
    monkeypatch.setattr(about, "time", SimpleNamespace(time=lambda: time.time() - 100, perf_counter=time.perf_counter))
    best = ping(connections["rpc"].session).best
    assert abs(best.ahead + 100) <= best.doubt < 1
    told = re.search(r"The clock there is ([\d.]+) ms behind, give or take", printed())
    assert abs(float(told[1]) - 100_000) < 1000


def test_clocks_as_ntp_reckons():
    even = Ping(sent=100, taken=207, answered=208, read=115)
    assert (even.round_trip, even.there, even.ahead, even.doubt) == (15, 1, 100, 7)
    uneven = Ping(sent=100, taken=200, answered=201, read=115)  # all of the way was the way back
    assert uneven.ahead == 100 - uneven.doubt


def test_a_service_that_exposes_nothing(monkeypatch):
    monkeypatch.setattr(site, "_registry", {})
    monkeypatch.setattr(site, "functions", {})
    with pytest.raises(CommandError, match=r"exposes nothing to this client \(anonymous\)") as caught:
        printed()
    assert caught.value.returncode == 1


def test_a_wrong_key(settings, monkeypatch):
    settings.DJANGO_RPC = {"SERVICE": "stock", "CLIENTS": {"shop": {"keys": SECRET}}}
    signed = {"CLIENT": "shop", "SERVICE": "stock", "KEY": SECRET}
    connection = connections["rpc"]
    signed = {**connection.settings_dict, "CLIENT": "shop", "SERVICE": "stock", "KEY": SECRET}
    monkeypatch.setattr(connection, "session", session_for("rpc", signed))
    text = printed()
    assert "rpc (stock): queue" in text
    assert "known there as shop" in text
    for changes in ({"KEY": "x" * 40}, {"CLIENT": "shpo"}, {"SERVICE": "stuck"}, {"CLIENT": None, "KEY": None}):
        monkeypatch.setattr(connection, "session", session_for("rpc", {**signed, **changes}))
        out = io.StringIO()
        with pytest.raises(CommandError, match=r"RequestRefused: .* Compare CLIENT, KEY, KEY_ID and SERVICE") as caught:
            printed("--json", out=out)
        assert caught.value.returncode == 1
        told = json.loads(out.getvalue())
        assert (told["ok"], told["error"]) == (False, "RequestRefused")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["nowhere"], "'nowhere' is no service"), (["default"], "is no service in DATABASES; the services are: rpc")],
)
def test_alias_that_is_no_service(arguments, says):
    with pytest.raises(CommandError, match=says):
        printed(*arguments)


@pytest.mark.parametrize("count", ["0", "-1", "many"])
def test_a_count_that_is_none(count):
    with pytest.raises(CommandError, match="1 or more"):
        printed(f"--count={count}")
