"""Drops of connections and an outage of the result backend, for a client and a worker with one release of redis-py.

Run as a program, so that a test chooses the release by PYTHONPATH.  Prints its results as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import redis
from celery import Celery

from django_rpc.demo.services import redis_server
from django_rpc.errors import RpcError
from django_rpc.wire.names import TASK_NAME, reply_key
from tests.live.test_weather import echo, echo_service

DROPS = 300
OUTAGE_SECONDS = 20


def drop_all(url):
    with redis.Redis.from_url(url) as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal")


def errors_until(end, session):
    """The texts of the errors of calls that one thread makes until the moment ``end``."""
    texts = []
    while time.monotonic() < end:
        try:
            session.compute([echo(0)], timeout=0.5)
        except RpcError as error:
            texts.append(f"{type(error).__name__}: {error}")
        time.sleep(0.02)
    return texts


async def awaited(session, numbers):
    return list(await asyncio.gather(*(session.submit([echo(number)])[0] for number in numbers)))


def answered(session):
    """Return True if a call is answered; a worker may be busy with answers that it could not send."""
    for _ in range(10):
        try:
            return session.compute([echo("well")], timeout=5) == ["well"]
        except RpcError:
            continue
    return False


def main(broker):
    with redis_server() as backend, echo_service(broker, backend.url) as service:
        session = service.session()
        after_drops = []
        for number in range(DROPS):
            drop_all(backend.url)
            after_drops += session.compute([echo(number)])
        awaited_after_drops = []
        for number in range(30):
            awaited_after_drops += asyncio.run(awaited(session, [number]))

        end = time.monotonic() + OUTAGE_SECONDS
        backend.stop()
        stranger = Celery(broker=broker, set_as_current=False)  # sends although the answers have nowhere to go
        for number in range(20):
            key = reply_key(f"outage-{number}")
            queue = service.settings["DEFAULT_QUEUE_NAME"]
            stranger.send_task(TASK_NAME, ["{}"], {"reply_to": key}, task_id=f"outage-{number}", queue=queue)
        with ThreadPoolExecutor(8) as pool:
            texts = [text for found in pool.map(errors_until, [end] * 8, [session] * 8) for text in found]
        backend.start()
        result = {
            "redis": redis.__version__,
            "after_drops": after_drops == list(range(DROPS)) and awaited_after_drops == list(range(30)),
            "errors": len(texts),
            "kinds": sorted({text.partition(":")[0] for text in texts}),
            "too_many": [text for text in texts if "too many" in text.lower()][:3],
            "answered": answered(session),
            "awaited": asyncio.run(awaited(session, range(40))) == list(range(40)),
            "threads": threading.active_count(),
        }
        log = service.worker.log()
        result["worker_too_many"] = "too many" in log.lower()
        print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
