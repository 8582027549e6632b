"""Servers, workers and clients, started together and gone together."""

from __future__ import annotations

import contextlib
import json
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from redis import Redis

from django_rpc.client.session import Output, Session
from django_rpc.demo import environment
from django_rpc.demo.processes import Process
from django_rpc.demo.services import (
    Worker,
    prepare_database,
    process_environment,
    redis_server,
    temporary_folder,
    worker,
)
from django_rpc.graph.nodes import Method, ModelSource
from tests.chaos import servers

__all__ = ["Footprint", "Plan", "Scene", "scene"]

SETTINGS = "tests.chaos.settings"
ACCOUNT = "account"


@dataclass(frozen=True)
class Plan:
    """The configuration. ``broker`` is "redis" or "rabbitmq"; ``clocks``: the error of each client's clock."""

    broker: str = "redis"
    workers: int = 2
    concurrency: int = 2
    clocks: tuple[float, ...] = (0.0, 0.0, 3.0)
    threads: int = 3
    seed: str = "1"


@dataclass(frozen=True)
class Footprint:
    """The resources of a process and its children."""

    processes: int
    threads: int
    files: int
    connections: int
    memory: int  # MB of each process

    @classmethod
    def of(cls, pid: int, *, alone: bool = False) -> Footprint:
        main = psutil.Process(pid)
        family = [main, *([] if alone else main.children(recursive=True))]
        memory = sum(process.memory_full_info().uss for process in family)
        return cls(
            len(family),
            sum(process.num_threads() for process in family),
            sum(process.num_fds() for process in family),
            sum(len(process.net_connections("tcp")) for process in family),
            memory // 2**20,
        )


class Scene:
    """All that runs.  The first worker is never killed as a whole: its footprint is compared."""

    def __init__(self, plan: Plan, folder: Path, stack: ExitStack) -> None:
        self.plan = plan
        self.folder = folder
        self._stack = stack
        self.redis = stack.enter_context(redis_server(persist=True))
        self.database = stack.enter_context(servers.postgres())
        self.broker: Any = self.redis if plan.broker == "redis" else stack.enter_context(servers.rabbitmq())
        self.queue = f"chaos_{uuid.uuid4().hex[:8]}"
        self.env = environment.variables(
            broker=self.broker.url, backend=self.redis.url, database=self.database.url, queue=self.queue
        )
        self.settings = {
            "BROKER_URL": self.broker.url,
            "RESULT_BACKEND": self.redis.url,
            "DEFAULT_QUEUE_NAME": self.queue,
            "PRIORITY_QUEUE_NAME": f"{self.queue}_priority",
        }
        prepare_database(self.database.url, SETTINGS, empty=True)
        self.workers: list[Worker] = []
        self._ends: dict[int, ExitStack] = {}
        self.clients: list[Process] = []
        self._born = 0
        for _ in range(plan.workers):
            self._add_worker()
        self.session = Session(self.settings)
        self.open_account()

    def can(self, event: str) -> bool:
        """Return True if an event has a target."""
        return not (event == "kill_results" and self.plan.broker == "redis")

    # -- workers -----------------------------------------------------------------------------------

    def _add_worker(self) -> None:
        ending = ExitStack()
        started = ending.enter_context(worker(SETTINGS, self.env, concurrency=self.plan.concurrency, timeout=90))
        self._stack.push(ending)
        self._ends[started.pid] = ending
        self.workers.append(started)

    def replace_worker(self) -> None:
        """Kill the last worker, and start another."""
        last = self.workers.pop()
        last.kill()
        self._ends[last.pid].close()
        self._add_worker()

    def footprint(self) -> Footprint:
        """The resources of the first worker; raises RuntimeError if it has ended, since no event ends it."""
        if not self.workers[0].alive:
            code = self.workers[0].returncode
            raise RuntimeError(f"The worker ended by itself with {code}:\n{self.workers[0].log()[-4000:]}")
        return Footprint.of(self.workers[0].pid)

    # -- clients -----------------------------------------------------------------------------------

    def open_account(self) -> None:
        """The row that clients add to; and each process of each worker has been at work."""
        rows = ModelSource(model="rpc_server.ServerModel", service="rpc")
        self.session.compute([Output(Method(rows, "create", (), {"some_field": ACCOUNT, "other_field": 0}))])
        for _ in range(20 * self.plan.workers * self.plan.concurrency):
            self.session.compute([Output(Method(rows, "count"))], timeout=20)

    @property
    def journals(self) -> list[Path]:
        return sorted(self.folder.glob("*.journal"))

    def _start_client(self, clock: float) -> Process:
        self._born += 1
        name = f"c{self._born}"
        orders = {
            "name": name,
            "seed": self.plan.seed,
            "settings": self.settings,
            "journal": str(self.folder / f"{name}.journal"),
            "threads": self.plan.threads,
            "clock": clock,
            "account": ACCOUNT,
        }
        command = [sys.executable, "-m", "tests.chaos.load", json.dumps(orders)]
        env = process_environment("django_rpc.demo.client.settings", self.env)
        client = Process(command, log_path=self.folder / f"{name}.log", env=env)
        self._stack.callback(client.kill)
        return client

    def start_clients(self) -> None:
        self.clients = [self._start_client(clock) for clock in self.plan.clocks]

    def replace_client(self, index: int) -> None:
        self.clients[index].kill()
        self.clients[index] = self._start_client(self.plan.clocks[index])

    def stop_clients(self) -> None:
        """Let each client end its calls; raises RuntimeError for a client that has failed."""
        for client in self.clients:
            client.signal_group(15)
        for client in self.clients:
            code = client.stop(timeout=60)
            if code not in (0, -15):  # -15: the signal arrived before it had begun
                raise RuntimeError(f"A client ended with {code}:\n{client.log()[-2000:]}")

    # -- afterwards --------------------------------------------------------------------------------

    def under_way(self) -> int:
        """Messages that are queued, or that a worker has and has not acknowledged."""
        if self.plan.broker == "redis":
            with Redis.from_url(self.redis.url) as client:
                return int(client.llen(self.queue)) + int(client.hlen("django_rpc:unacked"))
        from kombu import Connection

        with Connection(self.broker.url) as connection:
            return int(connection.default_channel.queue_declare(self.queue, passive=True).message_count)

    def settle(self, seconds: float = 60) -> None:
        """Wait until nothing is under way; raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while left := self.under_way():
            if time.monotonic() > deadline:
                logs = "\n".join(worker.log()[-3000:] for worker in self.workers)
                raise TimeoutError(f"{left} messages are still under way after {seconds:g} s; the workers say:\n{logs}")
            time.sleep(0.1)


@contextlib.contextmanager
def scene(plan: Plan) -> Iterator[Scene]:
    """A `Scene`; raises `servers.Missing` where a program is not installed."""
    with temporary_folder() as folder, ExitStack() as stack:
        yield Scene(plan, folder, stack)
