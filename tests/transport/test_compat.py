"""Contract tests for the private names and workarounds of kombu and redis-py at the client."""

from __future__ import annotations

import ast
import socket
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis
from kombu import Connection
from kombu.transport.redis import Channel
from kombu.utils.objects import cached_property

from django_rpc.transport import compat

FOLDER = Path(compat.__file__).parent


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_other_modules_use_no_private_attribute_of_another_library(path):
    """In the other modules, private attributes are those of ``self`` or of another object of the module's classes."""
    if path.name == "compat.py":
        return
    tree = ast.parse(path.read_text())
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    own |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    own |= {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign)
        for target in [node.target]
        if isinstance(target, ast.Name)
    }
    private = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
    }
    assert private <= own


class Computed:
    @cached_property
    def value(self):
        return 1


def test_locks_of_cached_properties_are_replaced_after_a_fork():
    """kombu's property has a lock that a thread of the parent may hold at the time of a fork."""
    before = vars(Computed)["value"].lock
    locks = compat._PropertyLocks()
    locks.add(Computed)
    with before:
        locks.after_fork()
    after = vars(Computed)["value"].lock
    assert after is not before
    assert isinstance(after, type(threading.RLock()))


def test_kombu_makes_a_client_for_each_use_and_the_channel_keeps_one():
    made = []
    pool = object()
    channel = SimpleNamespace(pool=pool, Client=lambda connection_pool: made.append(connection_pool) or object())
    compat.keep_client(channel)
    assert channel.Client(connection_pool=pool) is channel.Client(connection_pool=pool)
    assert made == [pool]
    other = object()
    assert channel.Client(connection_pool=other) is not channel.Client(connection_pool=other)


def test_channel_of_redis_has_the_names_and_other_channels_do_not():
    assert hasattr(Channel, "unacked_key")
    assert hasattr(Channel, "global_keyprefix")
    assert hasattr(Channel, "pool")
    with Connection("memory://") as connection:
        compat.keep_client(connection.default_channel)  # has no client
        assert compat.redis_of(connection) is None


def test_socket_of_an_amqp_connection():
    ours, theirs = socket.socketpair()
    assert compat.socket_of(SimpleNamespace(connection=SimpleNamespace(sock=ours))) is ours
    ours.close()
    theirs.close()
    with Connection("memory://") as connection:
        connection.connect()
        assert compat.socket_of(connection) is None


def test_redis_py_imports_late_modules_for_an_object_that_is_not_connected():
    pool = redis.ConnectionPool.from_url("redis://localhost:1/")
    compat.import_late_modules(pool)


def test_connection_of_a_pool_needs_no_name_of_a_command():
    taken = []
    pool = SimpleNamespace(get_connection=lambda *args: taken.append(args) or "connection")
    assert compat.pool_connection(pool) == "connection"
    assert taken == ([()] if redis.VERSION >= (5, 3) else [("",)])
