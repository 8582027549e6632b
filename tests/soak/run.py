"""A client and a worker at many calls, weighed again and again."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from redis import Redis

from django_rpc import errors
from django_rpc.client.session import Output, Session
from django_rpc.demo import environment
from django_rpc.demo.services import prepare_database, redis_server, temporary_folder, worker
from django_rpc.graph.nodes import Method, ModelSource
from tests.chaos.scene import Footprint

__all__ = ["Result", "Weight", "soak"]

CUSTOMERS = ModelSource(model="shop.Customer", service="rpc")
ROWS = ModelSource(model="rpc_server.ServerModel", service="rpc")
#: Parts of the calls before each measurement; the first covers objects that are made once.
WEIGHINGS = 10
#: Permitted differences of two measurements: MB of each process, and short connections.
MEMORY, OTHERS = 6, 2


@dataclass(frozen=True)
class Weight:
    """The resources of both ends and Redis at a moment."""

    client: Footprint
    worker: Footprint
    redis_clients: int
    keys: int  # of Redis, that do not expire
    answers: int  # on reply lists, which expire

    def told(self) -> str:
        client, worker = (
            f"{end.memory} MB, {end.threads} threads, {end.files} files, {end.connections} connections"
            for end in (self.client, self.worker)
        )
        redis = f"{self.keys} keys, {self.answers} unread answers, {self.redis_clients} clients"
        return f"client {client} | worker {worker} | Redis {redis}"


@dataclass
class Result:
    """The measurements in their order, and the errors."""

    calls: int
    seconds: float
    abandoned: int
    weights: list[Weight]

    @property
    def growth(self) -> list[str]:
        """Return the resources that have grown since the first part; none is good."""
        first, last = self.weights[0], self.weights[-1]
        found = []
        for end in ("client", "worker"):
            before, after = (dataclasses.asdict(getattr(weight, end)) for weight in (first, last))
            for name, value in after.items():
                allowed = MEMORY * before["processes"] if name == "memory" else OTHERS
                if value > before[name] + allowed:
                    found.append(f"the {end} has {value} {name}, and had {before[name]}")
        if last.keys > first.keys:
            found.append(f"Redis has {last.keys} keys that do not expire, and had {first.keys}")
        if last.redis_clients > first.redis_clients + OTHERS:
            found.append(f"Redis has {last.redis_clients} clients, and had {first.redis_clients}")
        if last.answers > self.abandoned:
            found.append(f"{last.answers} answers were left, and {self.abandoned} calls abandoned")
        return found

    def told(self) -> str:
        """For people."""
        rate = self.calls / self.seconds
        lines = [f"{self.calls} calls in {self.seconds:.0f} s ({rate:.0f}/s), {self.abandoned} of them abandoned"]
        lines += [f"  {number:2} {weight.told()}" for number, weight in enumerate(self.weights, 1)]
        return "\n".join([*lines, *(f"  GROWTH: {line}" for line in self.growth)])


class Caller:
    """Calls of all kinds; the number of a call determines its form."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.abandoned = 0
        self.calls = 0

    def get(self, number: int) -> None:
        self.session.compute([Output(Method(CUSTOMERS, "get", (), {"pk": number % 40 + 1}))])

    def rows(self, number: int) -> None:
        self.session.compute([Output(Method(CUSTOMERS, "filter", (), {"pk__lte": 20}))])

    def write(self, number: int) -> None:
        mine = Method(ROWS, "filter", (), {"some_field": "soak"})
        self.session.compute([Output(Method(mine, "update", (), {"other_field": number}))])

    def fail(self, number: int) -> None:
        with contextlib.suppress(errors.RemoteError):
            self.session.compute([Output(Method(CUSTOMERS, "get", (), {"pk": -1}))])

    def futures(self, number: int) -> None:
        sent = [self.session.submit([Output(Method(CUSTOMERS, "count"))])[0] for _ in range(3)]
        self.calls += 2
        assert len({future.result() for future in sent}) == 1

    def abandon(self, number: int) -> None:
        """A call with an answer that no caller reads."""
        self.session.submit([Output(Method(CUSTOMERS, "count"))])
        self.abandoned += 1

    def in_a_new_loop(self, number: int) -> None:
        async def main() -> None:
            await asyncio.gather(*self.session.submit([Output(Method(CUSTOMERS, "count"))]))

        asyncio.run(main())

    def in_a_new_thread(self, number: int) -> None:
        thread = threading.Thread(target=self.get, args=(number,))
        thread.start()
        thread.join()

    def call(self, number: int) -> None:
        """One call (or three); most are plain."""
        rare: dict[int, Callable[[int], None]] = {1: self.abandon, 2: self.in_a_new_loop, 3: self.in_a_new_thread}
        common = {1: self.rows, 2: self.write, 3: self.fail, 4: self.futures}
        self.calls += 1
        (rare.get(number % 500) or common.get(number % 10) or self.get)(number)


def soak(calls: int, concurrency: int = 2, threads: int = 2) -> Result:
    """Make about so many calls, from ``threads`` threads, and weigh both ends after each tenth."""
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(redis_server())
        folder = stack.enter_context(temporary_folder())
        database = environment.sqlite_url(folder / "server.sqlite3")
        prepare_database(database, data={"customers": 40, "products": 5, "orders": 20})
        queue = "soak"
        env = environment.variables(broker=redis.url, database=database, queue=queue)
        server = stack.enter_context(worker(env=env, concurrency=concurrency))
        settings = {"BROKER_URL": redis.url, "RESULT_BACKEND": redis.url, "DEFAULT_QUEUE_NAME": queue}
        session = Session({**settings, "PRIORITY_QUEUE_NAME": f"{queue}_priority", "TIMEOUT": 30})
        session.compute([Output(Method(ROWS, "create", (), {"some_field": "soak"}))])
        callers = [Caller(session) for _ in range(threads)]
        weights = []
        begun = time.monotonic()
        for part in range(WEIGHINGS):
            _in_threads(callers, part * calls, calls // (WEIGHINGS * threads))
            weights.append(_weigh(redis.url, server.pid))
        made = sum(caller.calls for caller in callers)
        return Result(made, time.monotonic() - begun, sum(caller.abandoned for caller in callers), weights)


def _in_threads(callers: list[Caller], first: int, count: int) -> None:
    failed: list[BaseException] = []

    def run(caller: Caller) -> None:
        before, number = caller.calls, first
        try:
            while caller.calls < before + count:
                number += 1
                caller.call(number)
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
            failed.append(error)

    threads = [threading.Thread(target=run, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def _weigh(url: str, worker_pid: int) -> Weight:
    gc.collect()
    time.sleep(0.5)  # abandoned calls are answered, and Redis notices closed connections
    with Redis.from_url(url) as client:
        keys: list[Any] = client.keys("*")
        answers = [key for key in keys if key.startswith(b"django_rpc:reply:")]
        lasting = [key for key in keys if client.ttl(key) == -1]
        clients = int(client.info("clients")["connected_clients"])
    return Weight(Footprint.of(os.getpid(), alone=True), Footprint.of(worker_pid), clients, len(lasting), len(answers))
