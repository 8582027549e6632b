"""Contract tests for the private names of Celery, kombu, billiard, py-amqp and redis-py that a worker uses."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from celery.concurrency.asynpool import AsynPool
from celery.worker import state
from celery.worker.consumer import Consumer as CeleryConsumer
from kombu import Connection
from kombu.transport.redis import QoS
from kombu.utils.imports import symbol_by_name

from django_rpc.celery import compat

FOLDER = Path(compat.__file__).parent
NAMES = [(owner, name) for owner, names in compat.PRIVATE_NAMES.items() for name in names]


@pytest.mark.parametrize(("owner", "name"), NAMES)
def test_installed_release_has_the_name(owner, name):
    kind = symbol_by_name(owner)
    slots = {slot for base in kind.__mro__ for slot in getattr(base, "__slots__", ())}
    assert hasattr(kind, name) or name in slots


@pytest.mark.parametrize("owner", compat.PRIVATE_NAMES)
def test_owner_exists(owner):
    assert isinstance(symbol_by_name(owner), type)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_other_modules_use_no_private_name_of_another_library(path):
    """A private attribute of ``self``, or of a module of this package, is not one of another library."""
    if path.name == "compat.py":
        return
    private = {name for names in compat.PRIVATE_NAMES.values() for name in names if name.startswith("_")}
    used = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert not used & {*private, "_delivered", "_pool", "_sock", "do_restore", "no_ack_consumers"}


def test_each_workaround_names_upstream_and_releases():
    source = (FOLDER / "compat.py").read_text()
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    workarounds = ["replace_dead_processes", "close_inherited", "leave_to_broker", "restore_dead"]
    workarounds += ["_UncompressedMessage", "_RedisTransport", "_RedisChannel", "_restoring", "_Frames"]
    texts = {node.name: ast.get_docstring(node) or "" for node in functions}
    for name in workarounds:
        assert re.search(r"(Celery|kombu|py-amqp|billiard)", texts[name]), name
        assert re.search(r"\d\.\d|all releases", texts[name]), name


# -- the upstream behavior of each workaround -----------------------------------------------------


def test_celery_checks_the_first_start_of_the_processes():
    """`Consumer.restart_count` must be -1 upstream: Celery checks the processes where it is 0 after the addition."""
    assert CeleryConsumer.restart_count == -1


def test_pool_registers_with_the_event_loop_once():
    assert AsynPool._registered_with_event_loop is False


def test_request_of_celery_has_the_functions_of_its_message():
    request = symbol_by_name("celery.worker.request.Request").__new__(symbol_by_name("celery.worker.request.Request"))
    done = []
    compat.redirect_acknowledgement(request, lambda *_: done.append("acknowledged"), lambda *_: done.append("refused"))
    request.on_ack()
    request.on_reject()
    assert done == ["acknowledged", "refused"]
    assert not compat.is_stopped(request)
    request._already_revoked = True
    assert compat.is_stopped(request)


def test_virtual_channels_emulate_acknowledgements_and_amqp_channels_do_not():
    assert symbol_by_name("kombu.transport.virtual.Channel").do_restore is True
    with Connection("memory://") as connection:
        channel = connection.channel()
        channel.do_restore = True
        assert compat.leave_to_broker(channel) == []
        assert channel.do_restore is False
        assert not compat.tracks_visibility(channel)
    assert not hasattr(symbol_by_name("kombu.transport.pyamqp.Channel"), "do_restore")
    assert compat.leave_to_broker(None) == []


def test_requests_in_work_are_returned_and_waiting_requests_are_left(monkeypatch):
    class Request:
        acknowledged = False

    working, waiting = Request(), Request()
    monkeypatch.setattr(state, "reserved_requests", [working, waiting])
    monkeypatch.setattr(state, "active_requests", [working])
    assert compat.leave_to_broker(SimpleNamespace(do_restore=True)) == [working]
    assert (working.acknowledged, waiting.acknowledged) == (False, True)


def test_redis_tracks_the_delivered_messages():
    channel = SimpleNamespace(qos=QoS.__new__(QoS))
    channel.qos._delivered = {"tag-1": None}
    assert compat.tracks_visibility(channel)
    assert compat.unacknowledged_tags(channel) == ["tag-1"]


FORKED = """
import os, socket
import redis
from amqp.transport import TCPTransport
from django_rpc.celery.compat import close_inherited

ours, theirs = socket.socketpair()
ours_of_amqp, theirs_of_amqp = socket.socketpair()
connection = redis.Connection()
connection._sock = ours
transport = TCPTransport("localhost")
transport.sock = ours_of_amqp
parent = os.getpid()
assert close_inherited(parent) == 0
child = os.fork()
if child == 0:
    closed = close_inherited(parent)
    os._exit(0 if (closed, connection._sock, transport.sock) == (2, None, None) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
ours.sendall(b"still open")
assert theirs.recv(100) == b"still open"
ours_of_amqp.sendall(b"still open")
assert theirs_of_amqp.recv(100) == b"still open"
"""


def test_inherited_sockets_are_closed_in_the_child_only():
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=60)
