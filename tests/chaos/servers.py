"""A separate PostgreSQL and RabbitMQ, next to the Redis of ``django_rpc.demo.services``: tests may kill them."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
from kombu import Connection

from django_rpc.demo.processes import Process
from django_rpc.demo.services import HOST, free_port, temporary_folder

__all__ = ["Missing", "Postgres", "RabbitMQ", "postgres", "rabbitmq"]

_POSTGRES = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), Path("/usr/local/bin"), Path("/usr/bin")]
_RABBITMQ = [Path("/usr/lib/rabbitmq/bin/rabbitmq-server"), Path("/usr/local/sbin/rabbitmq-server")]


class Missing(RuntimeError):
    """A program is not installed here."""


class Postgres:
    """A cluster in a separate folder, with a server that may be killed and started again."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.data = folder / "data"
        self.programs = programs
        self.port = free_port()
        self.url = f"postgresql://postgres@{HOST}:{self.port}/postgres"
        # The server refuses to be run by root.
        self.user = "postgres" if os.geteuid() == 0 else None
        if self.user is not None:
            os.chown(folder, pwd.getpwnam(self.user).pw_uid, -1)
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8")

    def _run(self, program: str, *words: str, check: bool = True) -> None:
        command = [str(self.programs / program), *words]
        subprocess.run(command, check=check, capture_output=True, user=self.user, cwd="/tmp", timeout=60)

    def start(self) -> None:
        options = (
            f"-p {self.port} -c listen_addresses={HOST} -c unix_socket_directories={self.data} -c shared_buffers=32MB"
        )
        log = self.data / "log"
        self._run("pg_ctl", "-D", str(self.data), "-l", str(log), "-o", options, "-w", "-t", "50", "start")

    def kill(self) -> None:
        """Kill it like a crash: uncommitted changes are lost, the rest is recovered at the next start."""
        self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop", check=False)

    def cut(self) -> None:
        """Break the connections that are there."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )

    def connections(self) -> int:
        """How many others are connected."""
        query = "SELECT count(*) - 1 FROM pg_stat_activity WHERE backend_type = 'client backend'"
        with psycopg.connect(self.url) as connection:
            row = connection.execute(query).fetchone()
        return int(row[0]) if row else 0


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL; raises Missing where it is not installed."""
    programs = next((folder for folder in _POSTGRES if (folder / "initdb").exists()), None)
    if programs is None:
        raise Missing("PostgreSQL (initdb, pg_ctl) is not installed")
    folder = Path(tempfile.mkdtemp(prefix="django_rpc_", dir="/tmp"))
    try:
        server = Postgres(folder, programs)
        server.start()
        try:
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class RabbitMQ:
    """A separate node, with its messages on disk."""

    def __init__(self, folder: Path, program: Path) -> None:
        self.folder = folder
        self.program = program
        self.port, self.distribution = free_port(), free_port()
        self.url = f"amqp://guest:guest@{HOST}:{self.port}//"
        self.process: Process | None = None

    def start(self, timeout: float = 60) -> None:
        (self.folder / "plugins").write_text("[].")
        (self.folder / "rabbitmq.conf").write_text("loopback_users = none\n")
        ours = {
            "NODENAME": f"chaos{self.port}@localhost",
            "NODE_PORT": str(self.port),
            "NODE_IP_ADDRESS": HOST,
            "DIST_PORT": str(self.distribution),
            "MNESIA_BASE": str(self.folder / "mnesia"),
            "LOG_BASE": str(self.folder / "log"),
            "ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "PID_FILE": str(self.folder / "pid"),
        }
        env = {**os.environ, "HOME": str(self.folder), **{f"RABBITMQ_{name}": value for name, value in ours.items()}}
        self.process = Process([str(self.program)], log_path=self.folder / "rabbit.log", env=env, folder=self.folder)
        self.process.wait_until(self.answers, "RabbitMQ", timeout)

    def answers(self) -> bool:
        try:
            with Connection(self.url, connect_timeout=1) as connection:
                connection.ensure_connection(max_retries=1, interval_start=0, timeout=1)
        except Exception:  # noqa: BLE001 - whatever a broker that is not there makes of it
            return False
        return True

    def kill(self) -> None:
        if self.process is not None:
            self.process.signal_group(signal.SIGKILL)
            self.process.kill()


@contextlib.contextmanager
def rabbitmq() -> Iterator[RabbitMQ]:
    """A running RabbitMQ; raises Missing where it is not installed."""
    program = next((path for path in _RABBITMQ if path.exists()), None)
    if program is None:
        raise Missing("RabbitMQ (rabbitmq-server) is not installed")
    with temporary_folder() as folder:
        server = RabbitMQ(folder, program)
        try:
            server.start()
            yield server
        finally:
            server.kill()
            time.sleep(0.2)
