"""A message that is delivered twice, in each way that there is: a write is done once, and the caller has its answer."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
from pathlib import Path

import psutil
import pytest
from redis import Redis

import django_rpc
from django_rpc import errors
from django_rpc.client.session import Output, Session
from django_rpc.demo.services import worker
from django_rpc.graph.nodes import Function, Method, ModelSource

from .conftest import addresses, run_service
from .test_weather import Proxy

HERE = Path(__file__).parent
ROWS = ModelSource(model="rpc_server.ServerModel", service="rpc")


class Service:
    """A worker that dies on request, its notes, and further workers next to it."""

    def __init__(self, live, folder):
        self.live = live
        self.folder = folder
        self.session = Session(live.settings)

    def another(self):
        return worker("deadly_settings", self.live.env, concurrency=1)

    def row(self, what):
        """A call that writes a row while the worker does ``what``, and the row's name."""
        name = uuid.uuid4().hex[:10]
        return Output(Method(ROWS, "create", (), {"some_field": f"{what}:{name}", "other_field": 1})), name

    def count(self, name):
        """How many rows there are, and how often one was written."""
        rows = Method(Method(ROWS, "filter", (), {"some_field__endswith": name}), "count")
        return self.session.compute([Output(rows)], timeout=20)[0], (self.folder / name).read_text().count("ran")


def until(condition, seconds=8):
    """Return when ``condition()`` is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def deadly(request, redis, prepared, tmp_path_factory):
    """``with deadly(combination) as service``: a worker of `deadly_app`."""
    folder = tmp_path_factory.mktemp("deadly")
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]

    @contextlib.contextmanager
    def start(name, *, broker=None, without="", concurrency=2):
        env = {"PYTHONPATH": os.pathsep.join(paths), "DEADLY_FOLDER": str(folder), "DEADLY_WITHOUT": without}
        broker_url, backend, database = addresses(name, request)
        prepared(database)
        options = {"settings_module": "deadly_settings", "concurrency": concurrency}
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in env.items():
                patch.setenv(variable, value)
            with run_service(name, broker or broker_url, backend, database, redis, **options) as live:
                yield Service(live, folder)

    return start


@pytest.fixture(scope="module", params=["redis-sqlite", "rabbitmq-postgresql"])
def service(request, deadly):
    """A worker with processes that die, which continues."""
    with deadly(request.param) as started:
        yield started


def test_a_process_is_killed_before_the_commit_and_after_it(service):
    for moment, written in (("before-commit", 2), ("after-commit", 1)):
        call, name = service.row(moment)
        assert service.session.compute([call], timeout=15)
        assert service.count(name) == (1, written)
    # Its own to the database and to where answers go, and none of the worker's, once a new process has begun.
    for process in psutil.Process(service.live.worker.pid).children():
        until(lambda process=process: len(process.net_connections("tcp")) <= 3)


def test_a_call_that_is_tried_again_after_its_time_out(service):
    call, name = service.row("slow")

    def attempt(timeout):
        with django_rpc.once(name):
            return service.session.compute([call], timeout=timeout)

    with pytest.raises(errors.RpcTimeout) as caught:
        attempt(0.7)
    assert caught.value.request_id == name
    assert attempt(15) == service.session.outcome(name).result()
    assert service.count(name) == (1, 1)


def test_a_message_that_is_published_twice(service, monkeypatch):
    publisher = service.session.transport.publisher
    publish = publisher.publish

    def twice(*args, **more):
        publish(*args, **more)
        publish(*args, **more)

    monkeypatch.setattr(publisher, "publish", twice)
    call, name = service.row("slow")
    [future] = service.session.submit([call], timeout=15)
    monkeypatch.undo()
    assert future.result()
    time.sleep(0.3)
    assert service.count(name) == (1, 1)


@pytest.mark.parametrize("combination", ["redis-sqlite", "rabbitmq-postgresql"])
def test_worker_is_killed_after_the_commit(deadly, combination):
    with deadly(combination, concurrency=1) as service, service.another():
        call, name = service.row("worker-after-commit")
        assert service.session.compute([call], timeout=25)
        assert service.count(name) == (1, 1)


def test_a_process_that_is_killed_at_a_service_without_a_ledger(deadly):
    with deadly("redis-sqlite", without="django_rpc.server") as service:
        call, name = service.row("after-commit")
        with pytest.raises(errors.OutcomeUnknown, match=r"not done again\. With 'django_rpc\.server'"):
            service.session.compute([call], timeout=15)
        assert service.count(name) == (1, 1)


def test_rabbitmq_takes_a_message_from_a_worker_at_work_and_gives_it_to_another(deadly, rabbitmq_url):
    relay = Proxy(rabbitmq_url, 5672)
    try:
        with deadly("rabbitmq-redis-sqlite", broker=relay.url) as service:
            call, name = service.row("slow")
            [future] = service.session.submit([call], timeout=15)
            threading.Timer(0.7, relay.cut).start()
            assert future.result()
            assert service.count(name) == (1, 1)
    finally:
        relay.close()


def test_busy_worker_keeps_its_messages_on_redis(deadly, redis):
    """The visibility time-out is 1.5 s there, and the worker is at work for 2.5 s: a read is not begun again."""
    relay, keys, name = Proxy(redis.url, 6379), Redis.from_url(redis.url), uuid.uuid4().hex
    try:
        with deadly("redis-sqlite", broker=relay.url) as service:
            [future] = service.session.submit([Output(Function("rpc", "linger", (name,), {}, True))], timeout=15)
            until((service.folder / name).exists)
            # Where workers of other programs, with another time-out, do not look.
            assert keys.exists("django_rpc:unacked")
            assert not keys.exists("unacked")
            relay.cut()
            assert future.result() == name
            until(lambda: not keys.exists("django_rpc:unacked", "django_rpc:unacked:index"))
            assert (service.folder / name).read_text().count("ran") == 1
    finally:
        relay.close()
