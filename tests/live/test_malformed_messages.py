"""Malformed messages on the queues of a real worker: each is counted, nothing of it runs, and the processes go on."""

from __future__ import annotations

import json
import os
import re
import struct
import sys
import time
import uuid
from unittest import mock

import amqp
import psutil
import pytest
from kombu import Connection
from kombu.pidbox import Mailbox
from redis import Redis

from django_rpc.celery.control import COMMANDS
from django_rpc.client.session import Output, Session
from django_rpc.demo.processes import Process
from django_rpc.graph.nodes import Method, ModelSource

from . import malformed
from .conftest import addresses, run_service

COUNT = Output(Method(parent=ModelSource(model="shop.Customer", service="rpc"), name="count"))
#: Messages of each broker; `make malformed` sends 10,000.
MESSAGES = int(os.environ.get("DJANGO_RPC_TEST_MALFORMED", "1000"))
SEED = 20_261_124
#: Errors of py-amqp for values that it cannot write.
UNWRITABLE = (ValueError, TypeError, AttributeError, KeyError, OverflowError)
#: Lists the counters of all processes that wrote into the folder.
COUNTERS = """
import json, sys
from prometheus_client import CollectorRegistry, multiprocess
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry, sys.argv[1])
print(json.dumps([[s.name, s.labels, s.value] for f in registry.collect() for s in f.samples]))
"""


class Target:
    """A worker with metrics, and its processes."""

    def __init__(self, service, folder):
        self.service, self.folder, self.publisher = service, folder, None
        self.queue = service.settings["DEFAULT_QUEUE_NAME"]
        self.url = service.settings["BROKER_URL"]
        self.session = Session({**service.settings, "TIMEOUT": 60 + MESSAGES // 10})
        self.serves()
        self.main = psutil.Process(service.worker.pid)
        self.processes = self.pool()

    def pool(self):
        return {child.pid for child in self.main.children(recursive=True)}

    def serves(self):
        [count] = self.session.compute([COUNT])
        assert count > 0

    def counted(self):
        """Return ``(malformed, others)``: messages that were rejected, and those that were answered in any way."""
        process = Process([sys.executable, "-c", COUNTERS, str(self.folder)], log_path=self.folder / "out")
        process.wait_until(lambda: not process.alive, "the counters", 30)
        samples = json.loads((self.folder / "out").read_text().splitlines()[-1])
        every = sum(value for name, _, value in samples if name == "django_rpc_server_requests_total")
        rejected = sum(
            value
            for name, labels, value in samples
            if name == "django_rpc_server_refusals_total" and labels["code"] == "MalformedMessage"
        )
        return rejected, every - rejected

    def is_unharmed(self):
        """The same processes serve: each of the pool, since one alone would answer as well."""
        for _ in range(4):
            self.serves()
        assert self.service.worker.alive
        assert self.pool() == self.processes


ON_REDIS = pytest.mark.parametrize("target", ["redis-sqlite"], indirect=True)
ON_RABBITMQ = pytest.mark.parametrize("target", ["rabbitmq-redis-sqlite"], indirect=True)


@pytest.fixture(scope="module", params=["redis-sqlite", "rabbitmq-redis-sqlite"])
def target(request, redis, prepared, tmp_path_factory):
    url, backend, database = addresses(request.param, request)
    prepared(database)
    folder = tmp_path_factory.mktemp("metrics")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))
        with run_service(request.param, url, backend, database, redis, concurrency=2) as service:
            yield Target(service, folder)


def push(target, items):
    with Redis.from_url(target.url) as client:
        for start in range(0, len(items), 500):
            client.lpush(target.queue, *items[start : start + 500])


def publish(target, publications, exchange="", routing_key=None):
    """Publish over AMQP; a `malformed.RawTable` is sent as its bytes."""
    write = amqp.serialization._write_table

    def write_table(table, out, bits):
        if isinstance(table, malformed.RawTable):
            out(bytes(table))
        else:
            write(table, out, bits)

    with mock.patch("amqp.serialization._write_table", write_table):
        taken = [_publish(target, publication, exchange, routing_key) for publication in publications]
    return taken.count(True), taken.count(None)


def _publish(target, publication, exchange, routing_key):
    """Publish one message; returns whether the broker took it, or None where that is unknown.

    The broker closes the connection for some messages, and others have no form in AMQP.
    """
    body, content_type, headers, properties = publication
    options = {"application_headers": headers, "content_type": content_type, "content_encoding": "utf-8"}
    if target.publisher is None:
        target.publisher = Connection(target.url, transport_options={"confirm_publish": True})
    try:
        channel = target.publisher.default_channel
        message = amqp.Message(body, **{**options, **properties})
        channel.basic_publish(message, exchange=exchange, routing_key=routing_key or target.queue)
    except (amqp.exceptions.FrameSyntaxError, struct.error, *UNWRITABLE):
        _hang_up(target)
        return False
    except (*target.publisher.connection_errors, amqp.exceptions.AMQPError):
        _hang_up(target)
        return None
    return True


def _hang_up(target):
    target.publisher.collect()
    target.publisher = None


@pytest.mark.timeout(180 + MESSAGES // 5)
def test_malformed_messages_are_counted_and_the_processes_serve_on(target):
    rejected_before, others_before = target.counted()
    if target.url.startswith("redis"):
        items = malformed.sample(SEED, MESSAGES, malformed.item_of_redis, target.queue)
        sent, unknown = len(items), 0
        push(target, items)
    else:
        sent, unknown = publish(target, malformed.sample(SEED, MESSAGES, malformed.publication_of_amqp))
        assert sent > MESSAGES * 0.7
    target.is_unharmed()
    deadline = time.monotonic() + 60 + MESSAGES / 20
    while time.monotonic() < deadline:
        rejected, others = target.counted()
        rejected, others = rejected - rejected_before, others - others_before
        if rejected + others >= sent:
            break
        time.sleep(0.5)
    served = 4  # calls of this test itself
    log = target.service.worker.log()
    assert sent + served <= rejected + others <= sent + served + unknown, log[-3000:]
    assert "Connection to broker lost" not in log
    assert rejected > sent * 0.5
    assert len(re.findall(r"django_rpc.server: A message on the queue was refused", log)) == rejected + rejected_before
    assert "Celery could not take" not in log


def command(method="ping", **more):
    return {"method": method, "arguments": {}, "destination": None, "pattern": None, "matcher": None, **more}


#: Commands that end a worker, its processes or its queues, or that Celery fails at.
COMMANDS_OF_OTHERS = [
    *(command("shutdown"), command("pool_shrink", arguments={"n": 50}), command("pool_restart"), command("pool_grow")),
    *(command("time_limit", arguments={"task_name": "django_rpc.call", "hard": 0.001}), command("x"), command(5)),
    *(command("rate_limit", arguments={"task_name": "django_rpc.call", "rate_limit": "1/h"}), command("election")),
    *(command("cancel_consumer", arguments={"queue": "x"}), command("add_consumer", arguments={"queue": "y"})),
    *(command("revoke", arguments={"task_id": ["x"], "terminate": True}), command("memdump"), command("conf")),
    *(command("revoke_by_stamped_headers", arguments={"headers": {"a": [[]]}}), command("autoscale")),
    *(command(arguments=5), command(arguments={"x": 1}), command(reply_to=5), command(reply_to={"exchange": 5})),
    *(command(reply_to={"exchange": "amq.fanout", "routing_key": "x"}, ticket="1"), command(destination=5)),
    *(command(pattern="(a+)+$", matcher="pcre"), command(ticket=[]), [], 5, None, "text", {}, command("revoke")),
    *(command("revoke", arguments={"task_id": [[]]}), command("query_task", arguments={"ids": {}})),
]


def broadcast(target, exchange, bodies, headers=None, routing_key=""):
    """Send to all consumers of an exchange of type fanout or topic."""
    if target.url.startswith("redis:"):
        with Redis.from_url(target.url) as client:
            topic = f"/0.{exchange}" + (f"/{routing_key}" if routing_key else "")
            for body in bodies:
                item = malformed.redis_item(exchange, headers=headers or {}, body=body)
                item["properties"]["delivery_info"] = {"exchange": exchange, "routing_key": routing_key}
                client.publish(topic, json.dumps(item))
            for text in malformed.ODD_TEXTS:
                client.publish(topic, text.encode("utf-8", "surrogatepass"))
        return
    publications = [(json.dumps(body).encode(), "application/json", headers or {}, {}) for body in bodies]
    publications += [(b"{", kind, headers or {}, {}) for kind in ("application/json", "application/x-yaml", "")]
    assert publish(target, publications, exchange, routing_key or "x")[0]


def test_remote_control_can_only_query_and_revoke(target):
    broadcast(target, "celery.pidbox", COMMANDS_OF_OTHERS, headers={"clock": 2**62, "expires": []})
    broadcast(target, "celery.pidbox", [command()], headers={"clock": "x", "stamped_headers": 5})
    target.is_unharmed()
    with Connection(target.url) as connection:
        mailbox = Mailbox("celery", type="fanout", accept=["json"], serializer="json")(connection)
        for method in ("ping", "stats", "active"):
            assert mailbox.multi_call(method, timeout=3), method
    assert "shutdown" not in COMMANDS


@ON_REDIS
def test_workers_do_not_listen_to_each_other(target):
    events = [{"hostname": 5}, {}, [], 5, {"type": [], "hostname": "x", "clock": "x"}]
    for routing_key in ("worker.elect", "worker.heartbeat", "worker.x"):
        broadcast(target, "celeryev", events, routing_key=routing_key)
    target.is_unharmed()


@ON_REDIS
def test_forged_unacknowledged_messages(target):
    """A worker gives back the messages of a dead worker, and drops those that it cannot read."""
    values = ["{", "[]", "5", json.dumps([{}, "", target.queue]), json.dumps([[], 5, []]), b"\xff\xfe"]
    values += [json.dumps([malformed.redis_item(target.queue, headers=5), "", target.queue])]
    with Redis.from_url(target.url) as client:
        for number, value in enumerate(values):
            client.hset("django_rpc:unacked", f"of-others-{number}", value)
            client.zadd("django_rpc:unacked:index", {f"of-others-{number}": 1})
        deadline = time.monotonic() + 20
        while client.zcount("django_rpc:unacked:index", 0, 2) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not client.zcount("django_rpc:unacked:index", 0, 2)
    target.is_unharmed()


@ON_RABBITMQ
def test_names_that_are_not_text(target):
    """py-amqp ends the connection for them, and RabbitMQ delivers the message again."""
    body = json.dumps(malformed.task_body()).encode()
    publications = [(body, "application/json", malformed.task_headers(), {})]
    exchange = f"odd-{uuid.uuid4().hex}"
    with Connection(target.url) as connection:
        channel = connection.default_channel
        channel.exchange_declare(exchange, "fanout", auto_delete=False)
        channel.queue_bind(target.queue, exchange)
    try:
        for key in (b"\xff", b"\xff" * 200, b"\xc3\x28", "é" * 60):
            assert publish(target, publications, exchange, key)[0]
        for routing_key in (b"\xff\xfe",):
            publish(target, publications, "celery.pidbox", routing_key)
        target.is_unharmed()
    finally:
        with Connection(target.url) as connection:
            connection.default_channel.exchange_delete(exchange)
