"""Outages: a failure raises an error of its class within the time-out, and the worker continues."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis

from django_rpc import errors
from django_rpc.client.session import Output, Session
from django_rpc.demo import environment
from django_rpc.demo.services import free_port, worker
from django_rpc.graph.nodes import Method, ModelSource

#: For the worker: the modules in this folder.
PYTHONPATH = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
ECHO = ModelSource(model="echo.Echo", service="rpc")
#: An error may arrive this much later than the time-out.
SLACK = 1.0


def echo(value):
    return Output(Method(parent=ECHO, name="filter", kwargs={"value": value}))


def sleep(seconds):
    return echo({"do": "sleep", "seconds": seconds})


class Service:
    def __init__(self, broker, backend, queue, process):
        self.settings = {"BROKER_URL": broker, "RESULT_BACKEND": backend, "DEFAULT_QUEUE_NAME": queue, "TIMEOUT": 5}
        self.worker = process

    def session(self, **more):
        return Session({**self.settings, **more})

    def serves(self):
        """Return True if it answers within the time that a Celery worker needs to reconnect."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(errors.RpcError):
                return self.session().compute([echo("well")], timeout=2) == ["well"]
        return False


@contextlib.contextmanager
def echo_service(broker, backend, client_broker=None, client_backend=None, **options):
    """A worker of ``echo_worker``; the client may know its broker and backend by other addresses."""
    queue = f"django_rpc_test_{uuid.uuid4().hex[:8]}"
    env = environment.variables(broker=broker, backend=backend, queue=queue, database="sqlite://")
    with worker("echo_settings", {**env, "PYTHONPATH": PYTHONPATH}, app="echo_worker", **options) as process:
        yield Service(client_broker or broker, client_backend or backend, queue, process)


class Proxy:
    """A TCP relay before a server that others use too: it can be cut, closed, and made to hang."""

    def __init__(self, url, default_port):
        parts = urlsplit(url)
        self.target = (parts.hostname, parts.port or default_port)
        self.port = free_port()
        self.url = parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{self.port}").geturl()
        self.url = self.url.replace("//@", "//")
        self.pairs = []
        self.flows = threading.Event()
        self.flows.set()
        self.open()

    def open(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(self.target)
                self.pairs.append((client, server))
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._relay, args=pair, daemon=True).start()

    def _relay(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.flows.wait()
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def tell(self, data):
        """Send bytes to the clients, as if the server had sent them."""
        for client, _ in self.pairs:
            with contextlib.suppress(OSError):
                client.sendall(data)

    def cut(self):
        """Break the connections that are there."""
        pairs, self.pairs = self.pairs, []
        for end in (end for pair in pairs for end in pair):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        """Refuse new connections, and break the others."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()


@pytest.fixture
def proxy():
    """``proxy(url, port)``: a relay that is closed after the test."""
    made = []

    def make(url, default_port):
        made.append(Proxy(url, default_port))
        return made[-1]

    yield make
    for one in made:
        one.flows.set()
        one.close()


@contextlib.contextmanager
def within(seconds, kind):
    """The block raises an error of exactly this class, and not later than ``seconds`` and a little."""
    started = time.monotonic()
    with pytest.raises(errors.RpcError) as caught:
        yield caught
    assert time.monotonic() - started < seconds + SLACK, caught.value
    assert type(caught.value) is kind, repr(caught.value)
    assert caught.value.request_id


@pytest.fixture(scope="module")
def redis_service(redis):
    with echo_service(redis.url, redis.url) as service:
        yield service
        assert service.serves()  # after all that the tests did to it


@pytest.fixture(scope="module")
def rabbit_service(rabbitmq_url):
    with echo_service(rabbitmq_url, "rpc://") as service:
        yield service
        assert service.serves()


@pytest.fixture(params=["redis_service", "rabbit_service"])
def service(request):
    return request.getfixturevalue(request.param)


# -- before the call ---------------------------------------------------------------------------------


@pytest.mark.parametrize("broker", ["redis", "amqp"])
def test_no_broker(broker, redis):
    address = f"{broker}://user:secret@127.0.0.1:{free_port()}/"
    for backend in (redis.url, "rpc://"):
        session = Session({"BROKER_URL": address, "RESULT_BACKEND": backend, "TIMEOUT": 3})
        with within(3, errors.BrokerUnavailable) as caught:
            session.compute([echo(1)])
        assert "Is it running" in str(caught.value)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("broker", ["redis", "amqp"])
def test_silent_broker(broker, redis):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"{broker}://127.0.0.1:{silent.getsockname()[1]}/"
        for backend in (redis.url, "rpc://"):
            session = Session({"BROKER_URL": address, "RESULT_BACKEND": backend})
            with within(1, errors.BrokerUnavailable):
                session.compute([echo(1)], timeout=1)


def test_a_broker_that_hangs_after_it_was_used(own_redis, redis):
    session = Session({"BROKER_URL": own_redis.url, "RESULT_BACKEND": redis.url})
    session.submit([echo(1)], timeout=1)
    own_redis.process.pause()
    with within(1, errors.BrokerUnavailable):
        session.compute([echo(1)], timeout=1)
    own_redis.process.resume()


def test_a_broker_that_was_restarted_between_calls(own_redis, redis):
    with echo_service(own_redis.url, redis.url) as service:
        session = service.session()
        assert session.compute([echo(1)]) == [1]
        own_redis.restart()
        write = Output(Method(parent=ECHO, name="delete"))
        with pytest.raises(errors.RemoteError, match="none left"):  # a write: sent once, not twice
            session.compute([write], timeout=15)
        assert service.serves()


def test_no_worker(redis):
    session = Session({"BROKER_URL": redis.url, "RESULT_BACKEND": redis.url, "DEFAULT_QUEUE_NAME": "nobody"})
    with within(0.5, errors.RpcTimeout) as caught:
        session.compute([echo(1)], timeout=0.5)
    assert "-Q nobody" in str(caught.value)


def test_no_result_backend(redis_service):
    session = redis_service.session(RESULT_BACKEND=f"redis://127.0.0.1:{free_port()}/0")
    with within(1, errors.ResultBackendUnavailable):
        session.compute([echo(1)], timeout=1)
    with pytest.raises(errors.ImproperSettings, match="RESULT_BACKEND"):
        redis_service.session(RESULT_BACKEND="file:///nowhere/at/all").compute([echo(1)], timeout=1)
    assert redis_service.serves()


# -- during the call ---------------------------------------------------------------------------------


def test_late_message_is_dropped(service, tmp_path):
    session = service.session()
    note = tmp_path / "ran"
    service.worker.pause()
    try:
        with within(0.6, errors.RpcTimeout):
            session.compute([echo({"do": "write", "path": str(note)})], timeout=0.6)
        time.sleep(0.5)
    finally:
        service.worker.resume()
    assert service.serves()
    time.sleep(0.3)
    assert not note.exists()


def test_a_worker_that_is_paused_in_mid_call_answers_later(service):
    session = service.session()
    [future] = session.submit([sleep(0.5)], timeout=1)
    time.sleep(0.2)
    service.worker.pause()
    try:
        with within(1, errors.RpcTimeout):
            future.result()
    finally:
        service.worker.resume()
    assert future.result(timeout=5) > 0
    assert service.serves()


def test_deadly_message_is_tried_twice(service, tmp_path):
    session = service.session()
    note = tmp_path / "ran"
    with within(10, errors.WorkerLost):
        session.compute([echo({"do": "write", "path": str(note)}), echo({"do": "die"})], timeout=10)
    assert service.serves()
    assert note.read_text().count("ran") == 2


@pytest.mark.parametrize("backend", ["redis", "rpc"])
def test_warm_shutdown_finishes_running_requests(redis, rabbitmq_url, backend):
    broker = redis.url if backend == "redis" else rabbitmq_url
    with echo_service(broker, redis.url if backend == "redis" else "rpc://") as service:
        [future] = service.session().submit([sleep(1)], timeout=10)
        time.sleep(0.4)
        assert service.worker.stop() == 0  # by SIGTERM
        assert future.result() > 0


def test_worker_is_killed(redis):
    with echo_service(redis.url, redis.url) as service:
        [future] = service.session().submit([sleep(3)], timeout=1.5)
        time.sleep(0.3)
        service.worker.kill()
        with within(1.5, errors.RpcTimeout):
            future.result()


def test_broker_and_result_backend_die_during_a_call(own_redis):
    with echo_service(own_redis.url, own_redis.url) as service:
        [future] = service.session().submit([sleep(0.5)], timeout=2)
        time.sleep(0.2)
        own_redis.kill()
        with within(2, errors.ResultBackendUnavailable):
            future.result()
        own_redis.start()
        assert service.serves()


def test_a_broker_that_dies_during_a_call_does_not_lose_the_answer(own_redis, redis):
    with echo_service(own_redis.url, redis.url) as service:
        [future] = service.session().submit([sleep(0.8)], timeout=5)
        time.sleep(0.3)
        own_redis.kill()
        assert future.result() > 0
        own_redis.start()
        assert service.serves()


def test_a_result_backend_that_is_restarted_during_a_call(own_redis, redis):
    with echo_service(redis.url, own_redis.url) as service:
        session = service.session()
        assert session.compute([echo("warm")]) == ["warm"]
        [future] = session.submit([sleep(1.5)], timeout=8)
        threading.Timer(0.3, own_redis.restart).start()
        assert future.result() > 0  # both ends found it again
        assert session.compute([echo("after")]) == ["after"]


def until_the_worker_is_refused(service):
    """Return when the worker has logged that its broker refuses a command."""
    log = Path(service.worker.log_path)
    deadline = time.monotonic() + 30
    while not re.search("Unrecoverable error|onnection to broker lost|Cannot connect", log.read_text()):
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def test_a_redis_that_is_a_replica_for_a_moment(own_redis, tmp_path):
    """A failover: each command that waits or writes gets an error, and no connection is closed."""
    path = tmp_path / "go"
    order = echo({"do": "await", "path": str(path)})
    client = Redis.from_url(own_redis.url)

    async def awaited():
        return await session.submit([order])[0]

    with (
        echo_service(own_redis.url, own_redis.url, concurrency=3) as service,  # so that it waits for a third message
        ThreadPoolExecutor() as threads,
    ):
        session = service.session(WORKER_GRACE=None, TIMEOUT=60)
        calls = [threads.submit(session.compute, [order]), threads.submit(asyncio.run, awaited())]
        while client.hlen("django_rpc:unacked") < len(calls):
            assert not any(call.done() for call in calls)
            time.sleep(0.01)
        client.replicaof("127.0.0.1", free_port())
        with pytest.raises(errors.BrokerUnavailable):
            session.compute([echo(1)], timeout=2)
        until_the_worker_is_refused(service)
        client.replicaof("NO", "ONE")
        path.touch()
        assert all(call.result(60) for call in calls)
        assert service.serves()
        assert service.worker.alive


@pytest.mark.parametrize("name", ["maxmemory", "min-replicas-to-write"])
def test_a_broker_that_refuses_writes_for_a_moment(own_redis, redis, tmp_path, name):
    path = tmp_path / "go"
    client = Redis.from_url(own_redis.url)
    with echo_service(own_redis.url, redis.url, concurrency=1) as service:
        session = service.session(WORKER_GRACE=None, TIMEOUT=60)
        [first] = session.submit([echo({"do": "await", "path": str(path)})])
        while not client.hlen("django_rpc:unacked"):
            assert not first.done()
            time.sleep(0.01)
        session.submit([echo("next")])
        client.config_set(name, 1)
        with pytest.raises(errors.BrokerUnavailable):
            session.compute([echo(1)], timeout=2)
        path.touch()  # the worker takes the next message from a broker that refuses to note it
        assert first.result() > 0
        until_the_worker_is_refused(service)
        client.config_set(name, 0)
        assert service.serves()
        assert service.worker.alive


def test_a_result_backend_that_was_restarted_before_the_answer(own_redis, redis):
    with echo_service(redis.url, own_redis.url) as service:
        session = service.session()
        assert session.compute([echo(1)]) == [1]  # both ends have connections that will be stale
        own_redis.restart()
        assert session.compute([echo(2)], timeout=5) == [2]


def test_a_result_backend_that_loses_the_answer(own_redis, redis):
    with echo_service(redis.url, own_redis.url) as service:
        [future] = service.session().submit([echo(1)], timeout=10)
        while not future.done():
            time.sleep(0.01)
        own_redis.restart()  # it kept nothing
        with within(1, errors.RpcTimeout):
            future.result(timeout=1)
        assert service.serves()


def test_a_result_backend_that_hangs(own_redis, redis):
    with echo_service(redis.url, own_redis.url) as service:
        session = service.session()
        assert session.compute([echo(1)]) == [1]
        own_redis.process.pause()
        with within(1, errors.ResultBackendUnavailable):
            session.compute([echo(1)], timeout=1)
        own_redis.process.resume()
        assert service.serves()


# -- RabbitMQ, through a relay --------------------------------------------------------------------------


def test_a_connection_to_rabbitmq_that_is_cut_in_mid_call_is_made_again(rabbitmq_url, rabbit_service, proxy):
    relay = proxy(rabbitmq_url, 5672)
    session = rabbit_service.session(BROKER_URL=relay.url)
    [future] = session.submit([sleep(0.8)])
    threading.Timer(0.3, relay.cut).start()
    assert future.result(timeout=5) > 0
    relay.cut()  # while no thread waits
    assert session.compute([echo("after")]) == ["after"]


def test_rabbitmq_stops_during_call(rabbitmq_url, rabbit_service, proxy):
    relay = proxy(rabbitmq_url, 5672)
    session = rabbit_service.session(BROKER_URL=relay.url)
    [future] = session.submit([sleep(0.5)], timeout=1.5)
    relay.close()
    with within(1.5, errors.ResultBackendUnavailable):
        future.result()
    with within(1, errors.BrokerUnavailable):
        session.compute([echo(1)], timeout=1)
    relay.open()
    assert session.compute([echo("after")]) == ["after"]


def test_rabbitmq_hangs(rabbitmq_url, rabbit_service, proxy):
    relay = proxy(rabbitmq_url, 5672)
    session = rabbit_service.session(BROKER_URL=relay.url)
    assert session.compute([echo(1)]) == [1]
    relay.flows.clear()
    started = time.monotonic()
    with pytest.raises(errors.RpcError):
        session.compute([echo(1)], timeout=1)
    assert time.monotonic() - started < 1 + SLACK
    relay.flows.set()


# -- messages that are not ours ---------------------------------------------------------------------------


def test_messages_of_strangers_do_not_stop_the_worker(service):
    from celery import Celery

    stranger = Celery(broker=service.settings["BROKER_URL"], set_as_current=False)
    queue = service.settings["DEFAULT_QUEUE_NAME"]
    stranger.send_task("django_rpc.call", [], queue=queue)
    stranger.send_task("django_rpc.call", ["{}"], {"unknown": 1}, queue=queue)
    stranger.send_task("no.such.task", [1], queue=queue)
    stranger.send_task("django_rpc.call", [5], queue=queue)
    assert service.serves()


def test_a_foreign_callback_is_refused(redis, redis_service, tmp_path):
    from celery import Celery, signature

    from django_rpc.wire.codec import encode_request
    from django_rpc.wire.messages import Request
    from django_rpc.wire.names import reply_key

    request_id = uuid.uuid4().hex
    note = tmp_path / "ran"
    value = {"do": "write", "path": str(note)}
    text = encode_request(Request(id=request_id, nodes=(ECHO, echo(value).__rpc_node__()), outputs=(1,))).decode()
    stranger = Celery(broker=redis.url, set_as_current=False)
    stranger.send_task(
        "django_rpc.call",
        [text],
        {"reply_to": reply_key(request_id)},
        task_id=request_id,
        queue=redis_service.settings["DEFAULT_QUEUE_NAME"],
        link=signature("django_rpc.call", args=[text], immutable=True, app=stranger),
    )
    assert redis_service.serves()
    assert not note.exists()
    assert not Redis.from_url(redis.url).exists(reply_key(request_id))  # malformed: rejected without an answer
    assert "its body is not a call of django_rpc.call" in Path(redis_service.worker.log_path).read_text()


def test_a_reply_list_of_another_request_is_refused(redis, redis_service):
    import redis as client
    from celery import Celery

    from django_rpc.wire.codec import encode_request
    from django_rpc.wire.messages import Request

    request_id = uuid.uuid4().hex
    text = encode_request(Request(id=request_id, nodes=(ECHO, echo(1).__rpc_node__()), outputs=(1,))).decode()
    stranger = Celery(broker=redis.url, set_as_current=False)
    queue = redis_service.settings["DEFAULT_QUEUE_NAME"]
    for key in ("django_rpc:reply:another", "celery", queue):
        stranger.send_task("django_rpc.call", [text], {"reply_to": key}, task_id=request_id, queue=queue)
    assert redis_service.serves()
    connection = client.Redis.from_url(redis.url)
    assert not connection.exists("django_rpc:reply:another")
    assert not connection.exists("celery")


def test_an_interrupted_wait_leaves_nothing_broken(redis_service):
    """Ctrl-C in the middle of a call: the connection that waited is not used for another answer."""
    session = redis_service.session()
    assert session.compute([echo(0)]) == [0]
    main = threading.main_thread().ident
    threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        session.compute([sleep(0.6)])
    assert session.compute([echo("mine")]) == ["mine"]
