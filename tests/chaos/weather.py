"""Events of the scene, at random moments: each event is a function of the scene, and is counted."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
from redis import Redis

if TYPE_CHECKING:
    from tests.chaos.scene import Scene

__all__ = ["Weather"]


def kill_process(scene: Scene, chance: random.Random) -> None:
    """SIGKILL to one process of a pool."""
    worker = chance.choice(scene.workers)
    children = psutil.Process(worker.pid).children() if worker.alive else []
    if children:
        with contextlib.suppress(psutil.NoSuchProcess):
            chance.choice(children).send_signal(signal.SIGKILL)


def kill_worker(scene: Scene, chance: random.Random) -> None:
    """SIGKILL to a worker with all its processes, and a new worker in its place."""
    scene.replace_worker()


def freeze_worker(scene: Scene, chance: random.Random) -> None:
    """A worker is frozen for a while and continues: its messages are late."""
    worker = chance.choice(scene.workers)
    worker.pause()
    time.sleep(chance.uniform(0.3, 2))
    worker.resume()


def kill_client(scene: Scene, chance: random.Random) -> None:
    """SIGKILL to a client during its calls, and a new client in its place."""
    scene.replace_client(chance.randrange(len(scene.clients)))


def kill_broker(scene: Scene, chance: random.Random) -> None:
    """SIGKILL to the broker, which starts again with its data on disk."""
    scene.broker.kill()
    time.sleep(chance.uniform(0.1, 1))
    scene.broker.start()


def kill_results(scene: Scene, chance: random.Random) -> None:
    """The Redis of the answers is killed, and starts again."""
    scene.redis.kill()
    time.sleep(chance.uniform(0.1, 1))
    scene.redis.start()


def cut_redis(scene: Scene, chance: random.Random) -> None:
    """Redis closes the connections of all its clients."""
    with Redis.from_url(scene.redis.url) as client, contextlib.suppress(Exception):
        client.execute_command("CLIENT", "KILL", "TYPE", "normal")


def cut_database(scene: Scene, chance: random.Random) -> None:
    """PostgreSQL ends all its sessions."""
    with contextlib.suppress(psycopg.OperationalError):  # it is down
        scene.database.cut()


def kill_database(scene: Scene, chance: random.Random) -> None:
    """PostgreSQL is killed, and starts again."""
    scene.database.kill()
    time.sleep(chance.uniform(0.1, 0.5))
    scene.database.start()


Event = Callable[["Scene", random.Random], None]
#: Event: its frequency relative to the others.
EVENTS: dict[Event, int] = {
    kill_process: 8,
    cut_database: 4,
    cut_redis: 3,
    freeze_worker: 2,
    kill_client: 2,
    kill_worker: 2,
    kill_broker: 1,
    kill_results: 1,
    kill_database: 1,
}


class Weather:
    """Events, each in a thread, until the end. One event of a kind at a time, and each kind once before any repeats."""

    def __init__(self, scene: Scene, seed: str, pauses: tuple[float, float] = (0.2, 1.0)) -> None:
        self.scene = scene
        self.chance = random.Random(f"{seed}weather")
        self.pauses = pauses
        self.happened: Counter[str] = Counter()
        self.failed: list[str] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="weather")
        self._under_way: dict[Event, threading.Thread] = {}

    def _run(self) -> None:
        events = {event: weight for event, weight in EVENTS.items() if self.scene.can(event.__name__)}
        first = list(events)
        self.chance.shuffle(first)
        while not self._end.wait(self.chance.uniform(*self.pauses)):
            event = first.pop() if first else self.chance.choices(list(events), list(events.values()))[0]
            before = self._under_way.get(event)
            if before is None or not before.is_alive():
                self._under_way[event] = threading.Thread(target=self._happen, args=(event,), name=event.__name__)
                self._under_way[event].start()
        for thread in self._under_way.values():
            thread.join()

    def _happen(self, event: Event) -> None:
        try:
            event(self.scene, random.Random(self.chance.random()))
        except Exception:  # noqa: BLE001 - told at the end: the run is void
            self.failed.append(f"{event.__name__}: {traceback.format_exc()}")
        self.happened[event.__name__] += 1

    def __enter__(self) -> Weather:
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._end.set()
        self._thread.join()
