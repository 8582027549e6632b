"""``python -m django_rpc demo-admin``: a Redis, a service with its worker, and the admin of another project on top.

It runs until Ctrl-C (or SIGTERM); everything that is started here is stopped then.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django_rpc.demo import environment
from django_rpc.demo.processes import Process, ServiceError
from django_rpc.demo.services import (
    HOST,
    Worker,
    free_port,
    prepare_database,
    process_environment,
    redis_server,
    temporary_folder,
    worker,
)

__all__ = ["PASSWORD", "USER", "Running", "run", "running"]

SITE_SETTINGS = "django_rpc.demo.client.site.settings"
#: Known to everybody: the site listens on the loopback address alone, and is gone with its database at the end.
USER = PASSWORD = "admin"


@dataclass(frozen=True)
class Running:
    """The parts of a running admin, and where they are."""

    url: str  # of the admin's first page
    broker: str
    database: str  # of the service, see environment.parse_database
    service: Worker
    site: Process


def run(broker: str | None = None, backend: str | None = None, port: int | None = None) -> int:
    """Serve the admin until Ctrl-C; returns the exit status: 0, or 1 where a part ended by itself.

    ``broker`` and ``backend`` are URLs; without a broker a Redis is started on a free port.
    """
    # Also if the shell started this process in the background, where SIGINT is ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), running(broker, backend, port) as parts:
        say(f"\nThe admin is at {parts.url}\nLog in as {USER!r} with the password {PASSWORD!r}.")
        say("Ctrl-C stops everything.")
        while parts.service.alive and parts.site.alive:
            time.sleep(0.2)
        ended, process = ("worker", parts.service) if not parts.service.alive else ("site", parts.site)
        print(f"The {ended} has ended. Its output:\n{process.log()}", file=sys.stderr)
        return 1
    say("\nStopped.")
    return 0


@contextlib.contextmanager
def running(
    broker: str | None = None,
    backend: str | None = None,
    port: int | None = None,
    data: Mapping[str, Any] | None = None,
) -> Iterator[Running]:
    """The site, its service and, without a ``broker``, its Redis; all are gone at the end.

    ``data`` are keyword arguments of ``shop.data.load``: how many rows the service has.
    """
    with contextlib.ExitStack() as stack:
        if broker is None:
            broker = stack.enter_context(redis_server()).url
        say(f"Redis at {broker}")
        folder = stack.enter_context(temporary_folder())
        database = environment.sqlite_url(folder / "shop.sqlite3")
        counts = prepare_database(database, data=data)
        say(f"Database of the service: {sum(counts.values()):,} rows on SQLite")
        variables = environment.variables(broker=broker, backend=backend, database=database)
        service = stack.enter_context(worker(env=variables))
        say("Worker: celery -A django_rpc.celery.app worker")
        variables[environment.SITE_DATABASE] = environment.sqlite_url(folder / "site.sqlite3")
        variables[environment.DEBUG] = "1"  # Django's server of static files needs it
        port = port or _usual_port()
        site = stack.enter_context(_site(port, variables))
        yield Running(f"http://{HOST}:{port}/admin/", broker, database, service, site)


def say(text: str) -> None:
    print(text, flush=True)


def _usual_port() -> int:
    """Return 8000, the port of Django's development server, or a free port if it is taken."""
    with socket.socket() as probe:
        try:
            probe.bind((HOST, 8000))
        except OSError:
            return free_port()
    return 8000


@contextlib.contextmanager
def _site(port: int, variables: Mapping[str, str]) -> Iterator[Process]:
    """The site with its tables and its user, answering; stopped at the end."""
    env = process_environment(SITE_SETTINGS, variables)
    _manage("migrate", "--run-syncdb", "--verbosity", "0", env=env)
    account = {"DJANGO_SUPERUSER_PASSWORD": PASSWORD, **env}
    _manage("createsuperuser", "--noinput", "--username", USER, "--email", "admin@example.com", env=account)
    command = [sys.executable, "-m", "django", "runserver", "--noreload", f"{HOST}:{port}"]
    with temporary_folder() as folder:
        process = Process(command, log_path=folder / "site.log", env=env, folder=folder)
        try:
            process.wait_until(lambda: _answers(port), "The site", timeout=30)
            yield process
        finally:
            process.stop()


def _manage(*command: str, env: dict[str, Any]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "django", *command], env=env, capture_output=True, text=True, timeout=60
    )
    if done.returncode != 0:
        raise ServiceError(f"`manage.py {command[0]}` of the site failed. Its output:\n{done.stdout}{done.stderr}")


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/admin/login/", timeout=2) as page:
            return bool(page.status == 200)
    except (urllib.error.URLError, OSError):
        return False
