"""``manage.py rpc_ping`` as a program, to real workers, to a queue without a worker, and to no broker."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from django_rpc.demo import environment
from django_rpc.demo.services import free_port, process_environment

from .conftest import CLIENT_SETTINGS


def run(variables, *arguments):
    command = [sys.executable, "-m", "django", "rpc_ping", *arguments]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)


def test_a_worker(live_service):
    done = run(live_service.client_env(), "--json", "--count", "3")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["ok"], told["count"], told["known_as"]) == (True, 3, "anonymous")
    assert told["queue"] == live_service.settings["DEFAULT_QUEUE_NAME"]
    assert 0 < told["there"]["median"] < told["round_trip"]["median"] < 10
    assert abs(told["clock"]["ahead"]) <= told["clock"]["doubt"] + 0.001  # one machine, one clock
    assert told["versions"]["here"] == told["versions"]["there"]
    assert "create" in told["models"]["shop.Order"]["operations"]


@pytest.mark.parametrize("live_service", ["rabbitmq-postgresql"], indirect=True)
def test_passwords_are_not_printed(live_service):
    done = run(live_service.client_env())
    assert done.returncode == 0, done.stderr
    assert "guest:**@" in done.stdout
    assert "guest:guest" not in done.stdout


def test_no_broker():
    address = f"redis://127.0.0.1:{free_port()}/"
    done = run(process_environment(CLIENT_SETTINGS, environment.variables(broker=address)), "--timeout", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "BrokerUnavailable: The broker" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("live_service", ["redis-sqlite"], indirect=True)
def test_no_worker(live_service):
    nobody = {**live_service.client_env(), environment.QUEUE: "django_rpc_test_nobody"}
    done = run(nobody, "--timeout", "0.5", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"] == "RpcTimeout"
    assert 'No answer from queue "django_rpc_test_nobody"' in done.stderr
