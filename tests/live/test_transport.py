"""Real workers on real brokers: the ways there and back, forks, threads, tasks inside tasks."""

import asyncio
import contextlib
import multiprocessing
import os
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from kombu import Connection

from django_rpc import errors
from django_rpc.client.session import Output, Session
from django_rpc.demo import environment
from django_rpc.demo.services import worker
from django_rpc.graph.nodes import Method, ModelSource

#: For the worker: the modules in this folder.
PYTHONPATH = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
ECHO = ModelSource(model="echo.Echo", service="rpc")
WAYS = ("redis", "rabbitmq-redis", "rabbitmq-rpc", "redis-rpc", "redis-file")


def echo(value):
    return Output(Method(parent=ECHO, name="filter", kwargs={"value": value}))


@dataclass
class Service:
    settings: dict
    worker: object

    def session(self, **more):
        return Session({**self.settings, **more})


@contextlib.contextmanager
def echo_service(broker, backend, **options):
    """A worker of ``echo_worker`` on separate queues."""
    queue = f"django_rpc_test_{uuid.uuid4().hex[:8]}"
    settings = {"BROKER_URL": broker, "RESULT_BACKEND": backend, "DEFAULT_QUEUE_NAME": queue}
    settings |= {"PRIORITY_QUEUE_NAME": f"{queue}_priority", "TIMEOUT": 10}
    env = environment.variables(broker=broker, backend=backend, queue=queue, database="sqlite://")
    try:
        with worker("echo_settings", {**env, "PYTHONPATH": PYTHONPATH}, app="echo_worker", **options) as process:
            yield Service(settings, process)
    finally:
        if broker.startswith("amqp"):
            with Connection(broker) as connection:
                for name in (queue, f"{queue}_priority"):
                    connection.default_channel.queue_delete(name)


@pytest.fixture(scope="module", params=WAYS)
def service(request, redis, tmp_path_factory):
    broker, _, backend = request.param.partition("-")
    urls = {"redis": redis.url, "": redis.url, "rpc": "rpc://"}
    if backend == "file":
        urls["file"] = f"file://{tmp_path_factory.mktemp('results')}"
    if broker == "rabbitmq":
        urls["rabbitmq"] = request.getfixturevalue("rabbitmq_url")
    with echo_service(urls[broker], urls[backend], concurrency=2) as started:
        yield started


@pytest.fixture
def session(service):
    return service.session()


def test_values_are_returned_exactly(session):
    assert session.compute([echo(1), echo("ä\n\0"), echo(None)]) == [1, "ä\n\0", None]
    assert session.compute([echo(2)], priority=True) == [2]
    [big] = session.compute([echo("x" * 2_000_000)])
    assert len(big) == 2_000_000


def test_an_error_of_the_server(session):
    with pytest.raises(errors.RemoteError, match="none left") as caught:
        session.compute([Output(Method(parent=ECHO, name="first"))])
    assert type(caught.value).__name__ == "NoStock"


def test_futures(session, tmp_path):
    path = tmp_path / "go"
    [slow] = session.submit([echo({"do": "await", "path": str(path)})])
    [quick] = session.submit([echo("quick")])
    assert not slow.done()
    assert quick.result(timeout=5) == "quick"
    with pytest.raises(errors.RpcTimeout, match=r"celery -A django_rpc\.celery\.app worker"):
        slow.result(timeout=0.05)
    path.touch()
    assert slow.result(timeout=30) > 0  # requested again
    assert slow.done()
    assert session.gather([slow, echo("late")])[1] == "late"


def test_future_is_done_without_wait(session):
    [future] = session.submit([echo(1)])
    deadline = time.monotonic() + 5
    while not future.done():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert future.result(timeout=0.001) == 1


def test_callbacks_and_await(session):
    heard = threading.Event()
    [future] = session.submit([echo({"do": "sleep", "seconds": 0.1})])
    future.add_done_callback(lambda done: heard.set())
    assert heard.wait(5)

    async def main():
        return await asyncio.gather(*session.submit([echo("a"), echo("b")]))

    assert asyncio.run(main()) == ["a", "b"]


def test_cancel(session):
    sleepers = [session.submit([echo({"do": "sleep", "seconds": 1.5})])[0] for _ in range(2)]
    time.sleep(0.3)  # both processes of the worker have one
    [waiting] = session.submit([echo("never")])
    assert waiting.cancel()
    assert not sleepers[0].cancel()
    with pytest.raises(errors.CallCancelled):
        waiting.result()
    assert all(sleeper.result() for sleeper in sleepers)


def test_eight_threads_with_fifty_calls_each(session):
    def call(thread):
        return [session.compute([echo([thread, number])])[0] for number in range(50)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(call, range(8)))
    assert answers == [[[thread, number] for number in range(50)] for thread in range(8)]


def test_a_future_may_be_waited_for_by_another_thread(session):
    futures = [session.submit([echo(number)])[0] for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda future: future.result(5), futures)) == list(range(40))


def in_child(function):
    """Run ``function`` in a child made by ``os.fork``; its result must be true."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if function() else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_forked_child_has_separate_connections(session):
    assert session.compute([echo(1)]) == [1]
    [under_way] = session.submit([echo({"do": "sleep", "seconds": 0.3})])
    in_child(lambda: [session.compute([echo(n)]) for n in range(20)] == [[n] for n in range(20)])
    assert under_way.result(5)  # the child left the parent's connections alone
    in_child(lambda: session.compute([echo("x")]) == ["x"])
    assert session.compute([echo(2)]) == [2]


def _compute_in_process(settings, number):
    return Session(settings).compute([echo(number)])[0]


def test_multiprocessing(service, session):
    assert session.compute([echo(1)]) == [1]
    with multiprocessing.get_context("fork").Pool(3) as pool:
        numbers = list(range(30))
        assert pool.starmap(_compute_in_process, [(service.settings, number) for number in numbers]) == numbers
    assert session.compute([echo(2)]) == [2]


def test_an_answer_does_not_stay_behind(service, session, redis):
    import redis as client

    connection = client.Redis.from_url(redis.url)
    [future] = session.submit([echo(1)])
    while not future.done():
        time.sleep(0.01)
    left = connection.keys("django_rpc:reply:*")
    if service.settings["RESULT_BACKEND"].startswith("redis"):
        [key] = left
        assert 0 < connection.ttl(key) <= 600
    else:
        assert left == []
    stored = set(connection.keys("celery-task-meta-*"))
    assert future.result() == 1
    assert session.compute([echo(2)]) == [2]
    assert connection.keys("django_rpc:reply:*") == []
    assert set(connection.keys("celery-task-meta-*")) <= stored


@pytest.fixture(params=["before", "after"])
def guest(request, service, redis):
    """A prefork worker of a project, with processes that fork before or after the first call."""
    queue = f"guest_{uuid.uuid4().hex[:8]}"
    env = {
        "GUEST_BROKER": redis.url,
        "GUEST_BACKEND": redis.url,
        "GUEST_QUEUE": queue,
        "SERVICE_BROKER": service.settings["BROKER_URL"],
        "SERVICE_BACKEND": service.settings["RESULT_BACKEND"],
        "SERVICE_QUEUE": service.settings["DEFAULT_QUEUE_NAME"],
        "CALL_BEFORE_FORK": "yes" if request.param == "before" else "",
        "PYTHONPATH": PYTHONPATH,
    }
    env |= environment.variables(broker=redis.url, database="sqlite://")
    with worker("echo_settings", env, app="guest_app", concurrency=2):
        yield queue


def test_inside_another_celery_task_and_registered_on_its_app(guest, redis):
    from celery import Celery

    project = Celery("caller", broker=redis.url, backend=redis.url, set_as_current=False)
    results = [project.send_task("guest.ask", [number], queue=guest) for number in range(20)]
    answers = [result.get(timeout=20) for result in results]
    assert [answer[1] for answer in answers] == list(range(20))
    # The same worker, with a task of the package among its tasks.
    settings = {"BROKER_URL": redis.url, "RESULT_BACKEND": redis.url, "DEFAULT_QUEUE_NAME": guest}
    assert Session(settings).compute([echo("registered")], timeout=10) == ["registered"]
