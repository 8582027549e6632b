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

#: One thread forks while three threads make the first calls of the process, which import modules and open connections.
FORKS_OF_A_THREAD = """
import faulthandler, os, signal, threading, time
import echo_client

def in_child(number):
    code = 1
    try:
        faulthandler.register(signal.SIGALRM, chain=True)
        signal.alarm(20)
        code = 0 if [echo_client.call([number, i]) for i in range(3)] == [[number, i] for i in range(3)] else 2
    finally:
        os._exit(code)

def repeat(number):
    while not stopped.is_set():
        assert echo_client.call(number) == number
        counts[number] += 1

stopped, counts, codes = threading.Event(), [0, 0, 0], []

def fork():
    children = []
    for number in range(12):
        time.sleep(0.01)
        child = os.fork()
        if child == 0:
            in_child(number)
        children.append(child)
    codes.extend(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    stopped.set()

threads = [threading.Thread(target=repeat, args=(number,)) for number in range(3)]
threads.append(threading.Thread(target=fork))
for thread in threads: thread.start()
for thread in threads: thread.join()
assert codes == [0] * 12, codes
assert all(counts), counts
print("done")
"""
#: A coroutine forks. Its child calls the functions that block, runs a loop of its own, or awaits without a loop.
FORKS_OF_A_LOOP = """
import asyncio, faulthandler, os, signal
from django_rpc.client.execute import acompute
from django_rpc.client.session import Output
from django_rpc.graph.nodes import Method, ModelSource
import echo_client

def values(value):
    node = Method(parent=ModelSource(model="echo.Echo", service="rpc"), name="filter", kwargs={"value": value})
    return acompute([Output(node)], [echo_client.session])

async def in_child(kind, sent):
    if kind == 0:
        return echo_client.call("blocking") == "blocking"
    if kind == 1:
        return asyncio.run(values("another loop")) == ["another loop"]
    if kind == 2:
        try:
            await values("no loop")
        except RuntimeError as error:
            return "os.fork()" in str(error)
    try:
        sent.result(timeout=5)
    except RuntimeError as error:
        return "before a fork" in str(error)

async def fork(kind, children):
    [sent] = echo_client.session.submit([Output(Method(
        parent=ModelSource(model="echo.Echo", service="rpc"), name="filter", kwargs={"value": kind}))])
    child = os.fork()
    if child == 0:
        code = 1
        try:
            faulthandler.register(signal.SIGALRM, chain=True)
            signal.alarm(20)
            code = 0 if await in_child(kind, sent) else 2
        finally:
            os._exit(code)
    children.append(child)
    assert await sent == kind

async def main():
    children = []
    calls = [values(number) for number in range(30)]
    found = await asyncio.gather(*calls, *(fork(kind, children) for kind in range(4)))
    assert found[:30] == [[number] for number in range(30)]
    ended = [await asyncio.to_thread(os.waitpid, child, 0) for child in children]
    codes = [os.waitstatus_to_exitcode(status) for _, status in ended]
    assert codes == [0] * 4, codes
    assert await values("after") == ["after"]

asyncio.run(main())
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


@pytest.mark.parametrize("program", [FORKS_OF_A_THREAD, FORKS_OF_A_LOOP], ids=["thread", "loop"])
def test_fork_during_calls(environment, run_python, program):
    assert run_python(program, env=environment).stdout == "done\n"
