"""Real brokers, real databases, real workers.

``live_service`` runs a test once on each combination of ``COMBINATIONS``; a worker is started
once a combination and session. ``live_rpc`` points ``connections["rpc"]`` of this process at it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import uuid
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from django_rpc.demo import environment
from django_rpc.demo.services import (
    RedisServer,
    Worker,
    prepare_database,
    process_environment,
    redis_server,
    temporary_folder,
    worker,
)

RABBITMQ = os.environ.get("DJANGO_RPC_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//")
POSTGRESQL = os.environ.get("DJANGO_RPC_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/postgres")
MARIADB = os.environ.get("DJANGO_RPC_TEST_MARIADB", "mysql://root@127.0.0.1:3306/test")
CLIENT_SETTINGS = "django_rpc.demo.client.settings"
#: The Python of the services, where their release of Django is not to be this process's: see tests/versions.
SERVER_PYTHON = os.environ.get("DJANGO_RPC_TEST_SERVER_PYTHON", sys.executable)

# name: (broker, result backend, database)
COMBINATIONS = {
    "redis-sqlite": ("redis", "redis", "sqlite"),
    "rabbitmq-postgresql": ("rabbitmq", "rpc", "postgresql"),
    "rabbitmq-redis-sqlite": ("rabbitmq", "redis", "sqlite"),
}


@dataclass
class LiveService:
    """A running worker of the example server and how to reach it."""

    name: str
    settings: dict  # for DATABASES["rpc"]
    database_url: str  # the database of the server
    worker: Worker
    redis: RedisServer  # a Redis of the session; not every combination uses it
    env: dict = field(default_factory=dict)  # variables for further processes, see client_env

    def client_env(self):
        """The environment of a client process: settings named, broker and queues given."""
        return process_environment(CLIENT_SETTINGS, self.env)


def pytest_collection_modifyitems(items):
    """Everything in this folder is a live test."""
    for item in items:
        if "live" in item.path.parts[len(item.config.rootpath.parts) :]:
            item.add_marker(pytest.mark.live)


def listens(url, default_port):
    """Return True if a server accepts connections at the host and port of a URL."""
    parts = urlsplit(url)
    address = (parts.hostname or "127.0.0.1", parts.port or default_port)
    try:
        with socket.create_connection(address, timeout=2):
            return True
    except OSError:
        return False


@pytest.fixture(scope="session")
def redis():
    """A Redis of the test session (``RedisServer``). Do not stop it: others use it too."""
    with redis_server() as server:
        yield server


@pytest.fixture
def own_redis():
    """A Redis of one test, to be stopped and restarted at will."""
    with redis_server() as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_url(required):
    """The address of a RabbitMQ that runs on this machine."""
    required(listens(RABBITMQ, 5672), "RabbitMQ does not answer")
    return RABBITMQ


@pytest.fixture(scope="session")
def postgresql_url(required):
    """The URL of a PostgreSQL database made for this session, and dropped after it."""
    required(listens(POSTGRESQL, 5432), "PostgreSQL does not answer")
    import psycopg

    name = f"django_rpc_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield urlsplit(POSTGRESQL)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def mariadb_url():
    """The URL of a MariaDB database made for this session. Optional: skipped even where CI=true."""
    if not listens(MARIADB, 3306):
        pytest.skip("MariaDB does not answer")
    import pymysql

    entry = environment.parse_database(MARIADB)
    name = f"django_rpc_{uuid.uuid4().hex[:12]}"
    access = {"user": entry["USER"], "password": entry["PASSWORD"], "host": entry["HOST"]}
    connection = pymysql.connect(**access, port=int(entry["PORT"] or 3306), autocommit=True)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        try:
            yield urlsplit(MARIADB)._replace(path=f"/{name}").geturl()
        finally:
            cursor.execute(f"DROP DATABASE {name}")


@pytest.fixture(scope="session")
def sqlite_url():
    """The URL of an SQLite file for this session."""
    with temporary_folder() as folder:
        yield environment.sqlite_url(folder / "server.sqlite3")


@contextlib.contextmanager
def run_service(name, broker_url, backend_url, database_url, redis, **options):
    """Start a worker on separate queues, and remove the queues after it."""
    queue = f"django_rpc_test_{uuid.uuid4().hex[:8]}"
    env = environment.variables(broker=broker_url, backend=backend_url, database=database_url, queue=queue)
    settings = {
        "BROKER_URL": broker_url,
        "RESULT_BACKEND": backend_url,
        "DEFAULT_QUEUE_NAME": queue,
        "PRIORITY_QUEUE_NAME": f"{queue}_priority",
        "TIMEOUT": 20,
    }
    try:
        with worker(env=env, python=SERVER_PYTHON, **options) as process:
            yield LiveService(name, settings, database_url, process, redis, env)
    finally:
        remove_queues(broker_url, [queue, f"{queue}_priority"])


def remove_queues(broker_url, names):
    """Delete queues from a broker that outlives the session."""
    from kombu import Connection

    if not broker_url.startswith(("amqp", "pyamqp")):
        return
    with Connection(broker_url) as connection:
        for name in names:
            connection.default_channel.queue_delete(name)


def addresses(name, request):
    """Broker, result backend and database of a combination; missing services skip or fail."""
    broker, backend, database = COMBINATIONS[name]
    brokers = {
        "redis": lambda: request.getfixturevalue("redis").url,
        "rabbitmq": lambda: request.getfixturevalue("rabbitmq_url"),
        "rpc": lambda: "rpc://",
    }
    return brokers[broker](), brokers[backend](), request.getfixturevalue(f"{database}_url")


@pytest.fixture(scope="session")
def prepared(request):
    """``prepared(url)``: make and fill the tables of a database, once a session."""
    done = set()

    def prepare(url):
        if url not in done:
            prepare_database(url, python=SERVER_PYTHON)
            done.add(url)
        return url

    return prepare


@pytest.fixture(scope="session", params=list(COMBINATIONS))
def live_service(request, redis, prepared):
    """A ``LiveService`` on each combination; its worker serves the whole session."""
    broker_url, backend_url, database_url = addresses(request.param, request)
    prepared(database_url)
    with run_service(request.param, broker_url, backend_url, database_url, redis) as service:
        yield service


@pytest.fixture
def start_service(request, redis, prepared):
    """``start_service(name="redis-sqlite", redis=None, **worker_options)``: a service that a test may damage.

    A context manager that yields a ``LiveService`` of this test alone, whose worker (and whose
    ``redis``, when the test gives its ``own_redis``) may be killed, paused and restarted.
    """

    @contextlib.contextmanager
    def start(name="redis-sqlite", *, redis=redis, **options):
        kinds = COMBINATIONS[name]
        broker_url, backend_url, database_url = addresses(name, request)
        broker_url = redis.url if kinds[0] == "redis" else broker_url
        backend_url = redis.url if kinds[1] == "redis" else backend_url
        prepared(database_url)
        with run_service(name, broker_url, backend_url, database_url, redis, **options) as service:
            yield service

    return start


@pytest.fixture
def use_service(django_db_blocker):
    """``with use_service(service):`` this process's ``connections["rpc"]`` talks to it."""

    @contextlib.contextmanager
    def use(service, **more):
        from django.db import connections

        # Connections of all threads hold this dict. With another dict, they would stay at this service after the test.
        settings = connections.settings["rpc"]
        before = dict(settings)
        settings.update({"CELERY": {}, "TEST": {"REAL_SERVICE": True}, **service.settings, **more})
        _forget_connection(connections)
        try:
            with django_db_blocker.unblock():
                yield service
        finally:
            _forget_connection(connections)
            settings.clear()
            settings.update(before)

    return use


def _forget_connection(connections):
    """Close and drop this thread's connection, so that the next use reads the settings again."""
    connections["rpc"].close()
    del connections["rpc"]


@pytest.fixture
def live_rpc(live_service, use_service):
    """``connections["rpc"]`` on ``live_service``, for the time of one test."""
    with use_service(live_service):
        yield live_service
