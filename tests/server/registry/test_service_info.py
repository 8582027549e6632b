"""The service's information about itself."""

from __future__ import annotations

import time

import django
import pytest

from django_rpc.graph.nodes import ServiceInfo
from django_rpc.server import handle
from django_rpc.wire.codec import decode_response, encode_request
from django_rpc.wire.messages import PROTOCOL_VERSION, Request


def asked():
    began = time.time()
    answer = decode_response(handle(encode_request(Request(id="r", nodes=(ServiceInfo("rpc"),), outputs=(0,)))))
    return began, answer.outputs[0], time.time()


@pytest.mark.django_db
def test_versions_and_clock(settings_of_server, django_assert_num_queries):
    settings_of_server(CLIENTS={"anonymous": {}}, SERVICE="stock")
    with django_assert_num_queries(0):
        began, told, ended = asked()
    assert told["versions"]["django"] == django.get_version()
    assert told["versions"]["protocol"] == str(PROTOCOL_VERSION)
    assert set(told["versions"]) == {"django_rpc", "protocol", "python", "django", "celery"}
    assert (told["service"], told["client"]) == ("stock", "anonymous")
    assert began < told["at"] < ended
    assert 0 < told["seconds"] < ended - began + 0.001


def test_the_work_begins_with_the_message(settings_of_server, monkeypatch):
    """Checking who it is from, and reading it, are part of it."""
    from django_rpc.server import handler

    settings_of_server(CLIENTS={"anonymous": {}})
    decode = handler.decode_request
    monkeypatch.setattr(handler, "decode_request", lambda *args: (time.sleep(0.05), decode(*args))[1])
    _, told, _ = asked()
    assert told["seconds"] >= 0.05
