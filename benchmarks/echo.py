"""The reference of the round trip: an empty Celery task, on an app as people configure it.

``celery -A benchmarks.echo worker``. Without Django, which would make each of its tasks a little slower.
"""

from __future__ import annotations

import os

from celery import Celery

BROKER = "BENCH_ECHO_BROKER"
BACKEND = "BENCH_ECHO_BACKEND"
QUEUE = "BENCH_ECHO_QUEUE"

app = Celery("echo", fixups=[], broker=os.environ.get(BROKER), backend=os.environ.get(BACKEND))
app.conf.update(
    task_default_queue=os.environ.get(QUEUE, "bench_echo"),
    broker_connection_retry_on_startup=True,
)


@app.task
def echo(value: str) -> str:
    """Return what came."""
    return value
