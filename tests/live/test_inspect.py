"""``celery inspect``, as operators use it, on a worker of ours."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from celery import Celery

from .test_weather import echo, echo_service, sleep

SECRET = "a value of a client"
ASKED = ("ping", "registered", "active", "stats")


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def service(request, redis):
    urls = (redis.url, redis.url) if request.param == "redis" else (request.getfixturevalue("rabbitmq_url"), "rpc://")
    with echo_service(*urls, concurrency=2) as started:
        yield started


def name_of(worker):
    return worker.command[worker.command.index("--hostname") + 1]


@pytest.mark.parametrize("service", ["redis"], indirect=True)
def test_the_command(service):
    name = name_of(service.worker)
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "django_rpc.celery.app",
        "inspect",
        "--json",
        "-t",
        "10",
        "-d",
        name,
    ]
    running = {
        asked: subprocess.Popen([*command, asked], env=service.worker.env, stdout=subprocess.PIPE, text=True)
        for asked in ASKED
    }
    told = {asked: json.loads(process.communicate(timeout=60)[0])[name] for asked, process in running.items()}
    assert told["ping"] == {"ok": "pong"}
    assert {"django_rpc.call", "django_rpc.prune"} <= set(told["registered"])
    assert told["active"] == []
    assert told["stats"]["pool"]["max-concurrency"] == 2
    assert set(told["stats"]["total"]) <= {"django_rpc.call"}


def test_command_requests_exposed_models(service):
    """On each broker, while a request is in work."""
    name = name_of(service.worker)
    app = Celery("operator", broker=service.settings["BROKER_URL"], set_as_current=False)
    future, _ = service.session().submit([sleep(1.5), echo(SECRET)])
    inspect = app.control.inspect([name], timeout=5)
    while not (active := inspect.active()[name]):
        assert not future.done()
    assert [(task["name"], task["id"]) for task in active] == [("django_rpc.call", future.request_id)]
    assert SECRET not in json.dumps(active)  # the client determines the request and the token
    assert future.result()
    assert inspect.ping() == {name: {"ok": "pong"}}
    assert "django_rpc.call" in inspect.registered()[name]
    assert inspect.stats()[name]["total"]["django_rpc.call"] >= 1
