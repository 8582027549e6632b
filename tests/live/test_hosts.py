"""Calls from the servers of web sites, which fork, and from greenlets."""

from __future__ import annotations

import os
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from django_rpc.demo.processes import Process
from django_rpc.demo.services import free_port

from .test_weather import echo_service

HERE = Path(__file__).parent
GREENLETS = """
from gevent import monkey
monkey.patch_all()
import gevent, wsgi_app
jobs = [gevent.spawn(wsgi_app.call, number) for number in range(60)]
sleepers = [gevent.spawn(wsgi_app.call, {"do": "sleep", "seconds": 0.3}) for _ in range(2)]
gevent.joinall(jobs + sleepers, timeout=20, raise_error=True)
assert [job.value for job in jobs] == list(range(60))
assert all(job.value for job in sleepers)
print("done")
"""


@pytest.fixture(scope="module", params=["redis", "rpc"])
def environment(request, redis):
    """Variables of a client of an echo service; its answers come by Redis, or by RabbitMQ."""
    broker, backend = (redis.url, redis.url)
    if request.param == "rpc":
        broker, backend = request.getfixturevalue("rabbitmq_url"), "rpc://"
    with echo_service(broker, backend, concurrency=2) as service:
        yield {
            **os.environ,
            "SERVICE_BROKER": broker,
            "SERVICE_BACKEND": backend,
            "SERVICE_QUEUE": service.settings["DEFAULT_QUEUE_NAME"],
            "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }


@pytest.mark.parametrize("kind", ["sync", "gthread", "gevent"])
def test_gunicorn_that_forks_after_the_first_call(environment, tmp_path, kind):
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--preload", "-w", "2", "-k", kind, "--threads", "4"]
    command += ["-b", f"127.0.0.1:{port}", "wsgi_app:application"]
    if kind == "gevent":  # it patches when its processes begin: what was made before has to be of the same kind
        command = [sys.executable, "-c", "from gevent import monkey; monkey.patch_all(); " + _AS_MODULE, *command[3:]]
    process = Process(command, log_path=tmp_path / "log", env=environment)

    def get(number):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{number}", timeout=15) as answer:
            return answer.read().decode().split(" ")

    def answers():
        try:
            return bool(get("ready"))
        except OSError:
            return False

    try:
        process.wait_until(answers, "gunicorn", 20)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(get, range(60)))
    finally:
        process.stop()
    assert [answer for _, answer in found] == [f"/{number}" for number in range(60)], process.log()


_AS_MODULE = "import sys; from gunicorn.app.wsgiapp import run; sys.argv[0] = 'gunicorn'; run()"


def test_greenlets(environment, run_python):
    assert run_python(GREENLETS, env=environment).stdout == "done\n"
