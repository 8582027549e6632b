"""The processes that the figures share: Redis, a filled database, workers, lane processes."""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import kombu

from benchmarks import echo
from benchmarks.driver import Driver
from benchmarks.driver import environment as process_environment
from benchmarks.harness import Skipped
from benchmarks.peer.install import peer_python
from django_rpc.demo import environment
from django_rpc.demo.services import Worker, prepare_database, redis_server, temporary_folder, worker

__all__ = ["CONCURRENCY", "PLAIN_SERVER", "SERVER", "Stack", "rabbitmq"]

CONCURRENCY = 2
CUSTOMERS = 2000
CLIENT = "django_rpc.demo.client.settings"
SERVER = "benchmarks.server_settings"
PLAIN_SERVER = "django_rpc.demo.server.settings"


def rabbitmq() -> str:
    """The address of a RabbitMQ that answers. Raises Skipped."""
    url = os.environ.get("DJANGO_RPC_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//")
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 5672), timeout=2).close()
    except OSError as error:
        raise Skipped(f"No RabbitMQ answers ({error}); DJANGO_RPC_TEST_RABBITMQ names one.") from None
    return url


class Stack(contextlib.ExitStack):
    """Starts what a figure asks for, once, and stops it all at the end.

    `apart` opens a part that ends earlier: the workers and the clients of one figure.
    """

    def __init__(self, parent: Stack | None = None) -> None:
        super().__init__()
        self._parent = parent
        self._redis: str | None = None
        self._database: Path | None = None

    @contextlib.contextmanager
    def apart(self) -> Iterator[Stack]:
        with Stack(self) as inner:
            yield inner

    @property
    def redis(self) -> str:
        if self._parent:
            return self._parent.redis
        if self._redis is None:
            self._redis = self.enter_context(redis_server()).url
        return self._redis

    @property
    def database(self) -> Path:
        """An SQLite file with the example server's tables and rows."""
        if self._parent:
            return self._parent.database
        if self._database is None:
            self._database = self.enter_context(temporary_folder()) / "bench.sqlite3"
            prepare_database(environment.sqlite_url(self._database), data={"customers": CUSTOMERS})
        return self._database

    def ours(self, broker: str, backend: str, pool: str = "prefork", settings: str = SERVER) -> Driver:
        """Our worker on the example server, and a client of it."""
        url = environment.sqlite_url(self.database)
        queue = self._queue(broker, "_priority")
        env = environment.variables(broker=broker, backend=backend, database=url, queue=queue)
        self.enter_context(worker(settings, process_environment(env), pool=pool, concurrency=CONCURRENCY))
        return self.driver("benchmarks.lanes.ours", {**env, "DJANGO_SETTINGS_MODULE": CLIENT})

    def echo(self, broker: str, backend: str, pool: str = "prefork") -> Driver:
        """The echo worker, and a client of it."""
        env = {echo.BROKER: broker, echo.BACKEND: backend, echo.QUEUE: self._queue(broker)}
        full = process_environment(env)
        self.enter_context(worker(PLAIN_SERVER, full, app="benchmarks.echo", pool=pool, concurrency=CONCURRENCY))
        return self.driver("benchmarks.lanes.echo", env)

    def orm(self) -> Driver:
        """Django's ORM on the database, in a process of its own."""
        env = {environment.DATABASE: environment.sqlite_url(self.database), "DJANGO_SETTINGS_MODULE": SERVER}
        return self.driver("benchmarks.lanes.orm", env)

    def peer(self) -> Driver:
        """djangoceleryrpc's worker and a client of it, in their own environment."""
        python = peer_python()
        env = {"DJANGO_SETTINGS_MODULE": "benchmarks.peer.settings"}
        env |= {"BENCH_PEER_DATABASE": str(self.database), "BENCH_PEER_BROKER": self.redis}
        command = [python, "-m", "celery", "-A", "celery_rpc.app", "worker", "--pool", "prefork"]
        command += ["--concurrency", str(CONCURRENCY), "--loglevel", "WARNING"]
        command += ["--include", "django_rpc.demo.ready"]  # needs Celery alone
        folder = self.enter_context(temporary_folder())
        process = Worker(command, folder=folder, env=process_environment(env))
        self.callback(process.stop)
        process.wait_ready()
        return self.driver("benchmarks.peer.client", env, python)

    def driver(self, module: str, env: dict[str, str] | None = None, python: str | None = None) -> Driver:
        """A lane process that ends with this stack."""
        return self.enter_context(Driver(module, env, **({"python": python} if python else {})))

    def _queue(self, broker: str, *further: str) -> str:
        """The name of a queue of this run alone; a RabbitMQ is rid of it at the end."""
        name = f"bench_{uuid.uuid4().hex[:12]}"
        if broker.startswith("amqp"):
            self.callback(_delete_queues, broker, [name, *(name + end for end in further)])
        return name


def _delete_queues(broker: str, names: list[str]) -> None:
    with kombu.Connection(broker) as connection:
        channel = connection.default_channel
        for name in names:
            channel.queue_delete(name)
            if name:
                channel.exchange_delete(name)
