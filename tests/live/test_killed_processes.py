"""Processes of the pool are killed from the first second on, and the worker's main process continues."""

from __future__ import annotations

import contextlib
import random
import signal
import time

import psutil
import pytest

from django_rpc.client.session import Output, Session
from django_rpc.demo.services import Worker
from django_rpc.graph.nodes import Method, ModelSource

COUNT = Output(Method(parent=ModelSource(model="shop.Customer", service="rpc"), name="count"))
SEED = 20_261_124


def kill_children(pid, draw, count, signals):
    """Kill ``count`` child processes of a process, one at a time, as soon as there are any."""
    main, killed = psutil.Process(pid), 0
    deadline = time.monotonic() + 40
    while killed < count and time.monotonic() < deadline:
        with contextlib.suppress(psutil.NoSuchProcess):
            children = main.children()
            if children:
                draw.choice(children).send_signal(draw.choice(signals))
                killed += 1
        time.sleep(draw.random() * 0.1)
    return killed


@pytest.fixture
def killing(monkeypatch):
    """Have processes of each new worker killed while that starts; returns how many were killed, as a list."""
    wait, draw, killed = Worker.wait_ready, random.Random(SEED), []

    def wait_ready(self, timeout=60):
        killed.append(kill_children(self.pid, draw, 12, [signal.SIGKILL, signal.SIGTERM]))
        wait(self, timeout)

    monkeypatch.setattr(Worker, "wait_ready", wait_ready)
    return killed


@pytest.mark.parametrize("name", ["redis-sqlite", "rabbitmq-redis-sqlite"])
@pytest.mark.parametrize("concurrency", [1, 3])
def test_processes_that_are_killed_while_the_worker_starts(start_service, killing, name, concurrency):
    with start_service(name, concurrency=concurrency) as service:
        session = Session({**service.settings, "TIMEOUT": 60})
        assert killing == [12]
        for _ in range(3):
            kill_children(service.worker.pid, random.Random(SEED), 2, [signal.SIGKILL])
            [count] = session.compute([COUNT])
            assert count > 0
        assert service.worker.alive
        log = service.worker.log()
        assert "StopIteration" not in log
        assert "Traceback" not in log.replace("WorkerLostError", ""), log[-4000:]
