"""A worker decompresses no message. The registry of kombu stays unchanged, so that a project may compress messages."""

import tracemalloc
import zlib

import pytest
from kombu import Connection, Consumer, Producer, Queue, compression
from kombu.transport import resolve_transport

from django_rpc.celery.compat import AMQP, checked_transport
from django_rpc.celery.envelope import Malformed

QUEUE = Queue("compressed")


@pytest.fixture
def received():
    """Send a message over a connection of the project, and return the message that the worker receives."""

    def send(body, **options):
        bodies, errors = [], []
        with Connection("memory://") as project, AMQP.Connection("memory://") as worker:
            Producer(project.channel()).publish(body, routing_key=QUEUE.name, declare=[QUEUE], **options)
            consumer = Consumer(worker.channel(), [QUEUE], callbacks=[lambda body, message: bodies.append(body)])
            consumer.on_decode_error = lambda message, error: (errors.append(error), message.ack())
            with consumer:
                worker.drain_events(timeout=2)
        return bodies, errors

    return send


@pytest.mark.parametrize("name", ["gzip", "bzip2", "application/x-gzip"])
def test_compressed_messages_are_rejected_before_decompression(received, name):
    bodies, errors = received({"a": 1}, serializer="json", compression=name)
    assert bodies == []
    assert [type(error) for error in errors] == [Malformed]
    assert str(errors[0]) == "it is compressed"


def test_large_data_is_not_allocated(received):
    packed = zlib.compress(bytes(50_000_000))
    options = {"content_type": "application/data", "content_encoding": "binary"}
    tracemalloc.start()
    _, errors = received(packed, headers={"compression": "gzip"}, **options)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(errors) == 1
    assert peak < 5_000_000


def test_other_messages_are_delivered(received):
    assert received({"a": 1}, serializer="json") == ([{"a": 1}], [])


@pytest.mark.parametrize("name", ["redis", "pyamqp", "memory", "filesystem"])
def test_each_transport_has_a_class_of_messages_without_decompression(name):
    transport = checked_transport(resolve_transport(name))
    owner = transport if hasattr(transport, "Channel") else transport.Connection
    assert "_UncompressedMessage" in [kind.__name__ for kind in owner.Channel.Message.__mro__]


def test_registry_of_kombu_is_unchanged():
    import django_rpc.celery.app  # noqa: F401 - the import and the start of a worker change nothing

    packed, content_type = compression.compress(b"data", "gzip")
    assert compression.decompress(packed, content_type) == b"data"
