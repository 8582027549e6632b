"""The demo: a Redis, a database, a worker, and the client's tour in a separate process.

Everything that is started here is stopped here, also after an error or Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from django_rpc.demo import environment
from django_rpc.demo.services import prepare_database, redis_server, temporary_folder, worker

__all__ = ["run"]

TOUR = "django_rpc.demo.client.tour"


def run(broker: str | None = None, backend: str | None = None, picture: str = "demo.png") -> int:
    """Run the demo; returns the exit status of the client's process.

    ``broker`` and ``backend`` are URLs; without a broker a Redis is started on a free port. ``picture`` is the
    file that the last graph is drawn into.
    """
    with contextlib.ExitStack() as stack:
        if broker is None:
            broker = stack.enter_context(redis_server()).url
            print(f"Redis of our own at {broker}", flush=True)
        folder = stack.enter_context(temporary_folder())
        database = environment.sqlite_url(folder / "shop.sqlite3")
        counts = prepare_database(database)
        print(f"Database of the service: {sum(counts.values()):,} rows on SQLite", flush=True)
        variables = environment.variables(broker=broker, backend=backend, database=database)
        stack.enter_context(worker(env=variables))
        print("Worker: celery -A django_rpc.celery.app worker", flush=True)
        client = [sys.executable, "-m", TOUR, str(Path(picture).absolute())]
        try:
            return subprocess.run(client, env={**os.environ, **variables}, check=False).returncode
        except KeyboardInterrupt:
            return 130
