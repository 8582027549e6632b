"""Configuration of the example projects from environment variables, parsed in one place.

The demo, the tests and the benchmarks start processes. The variables determine the broker, the database and the queues
of a process. ``variables()`` makes them, ``database()`` and ``broker()`` read them. This module needs no Django.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ENGINES = {
    "sqlite": "django.db.backends.sqlite3",
    "postgresql": "django.db.backends.postgresql",
    "postgres": "django.db.backends.postgresql",
    "mysql": "django.db.backends.mysql",
}

DATABASE = "DJANGO_RPC_DEMO_DATABASE"
BROKER = "DJANGO_RPC_DEMO_BROKER_URL"
BACKEND = "DJANGO_RPC_DEMO_RESULT_BACKEND"
QUEUE = "DJANGO_RPC_DEMO_QUEUE"
PRIORITY_QUEUE = "DJANGO_RPC_DEMO_PRIORITY_QUEUE"
TIMEOUT = "DJANGO_RPC_DEMO_TIMEOUT"
TRACEBACK = "DJANGO_RPC_DEMO_SHOW_TRACEBACK"
LOGLEVEL = "DJANGO_RPC_DEMO_LOGLEVEL"
SITE_DATABASE = "DJANGO_RPC_DEMO_SITE_DATABASE"
DEBUG = "DJANGO_RPC_DEMO_DEBUG"
OLDEST = "DJANGO_RPC_DEMO_OLDEST_DJANGO"


def parse_database(url: str) -> dict[str, Any]:
    """Return an entry of Django's DATABASES for a URL such as ``sqlite:///file`` or ``mysql://u@h/db``.

    ``sqlite://`` alone, and ``sqlite:///:memory:``, are a database in memory. As with other tools,
    three slashes begin a relative path and four an absolute one.
    """
    parts = urlsplit(url)
    if parts.scheme not in ENGINES:
        known = ", ".join(sorted(ENGINES))
        raise ValueError(f"Unknown kind of database in {url!r}: expected one of {known}.")
    name = unquote(parts.path.removeprefix("/"))
    if parts.scheme == "sqlite":
        # Workers are several processes on one file: wait for the other's lock, do not fail.
        options = {"OPTIONS": {"timeout": 20}}
        return {"ENGINE": ENGINES["sqlite"], "NAME": name or ":memory:", **options}
    if not name:
        raise ValueError(f"No database is named in {url!r}.")
    return {
        "ENGINE": ENGINES[parts.scheme],
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
    }


def sqlite_url(path: str | os.PathLike[str]) -> str:
    """The URL of an SQLite file, for ``parse_database`` and ``variables``."""
    return f"sqlite:///{Path(path).absolute()}"


def database(default: str | None = None) -> dict[str, Any]:
    """Return the database of the server. Without a variable and a default, it is a file in the temp folder."""
    fallback = default or sqlite_url(Path(tempfile.gettempdir()) / "django_rpc_demo.sqlite3")
    return parse_database(os.environ.get(DATABASE, fallback))


def site_database() -> dict[str, Any]:
    """Return the database of the client, for users and sessions. Without a variable, it is in memory."""
    return parse_database(os.environ.get(SITE_DATABASE, "sqlite://"))


def broker() -> dict[str, str]:
    """The four keys that both ends share: broker, result backend and the two queues."""
    url = os.environ.get(BROKER, "redis://127.0.0.1:6379/0")
    return {
        "BROKER_URL": url,
        "RESULT_BACKEND": os.environ.get(BACKEND, url),
        "DEFAULT_QUEUE_NAME": os.environ.get(QUEUE, "django_rpc"),
        "PRIORITY_QUEUE_NAME": os.environ.get(PRIORITY_QUEUE, "django_rpc_priority"),
    }


def flag(name: str) -> bool:
    """Return True if a variable is ``1``, ``true``, ``yes`` or ``on``."""
    return os.environ.get(name, "").lower() in {"1", "true", "yes", "on"}


def everywhere_since(*release: int) -> bool:
    """Return True if both ends of the example have at least the Django ``release`` (``5, 0``), or if no variable is
    set.
    """
    oldest = os.environ.get(OLDEST)
    return oldest is None or tuple(map(int, oldest.split("."))) >= release


def variables(
    *,
    broker: str,
    backend: str | None = None,
    database: str | None = None,
    queue: str = "django_rpc",
    priority_queue: str | None = None,
) -> dict[str, str]:
    """The variables for a process of an example project; give them to ``worker(env=...)``."""
    result = {
        BROKER: broker,
        BACKEND: backend or broker,
        QUEUE: queue,
        PRIORITY_QUEUE: priority_queue or f"{queue}_priority",
    }
    if database is not None:
        result[DATABASE] = database
    return result


def logging(level: str = "WARNING") -> dict[str, Any]:
    """A LOGGING setting that writes to stderr; ``DJANGO_RPC_DEMO_LOGLEVEL`` overrides the level."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
        "loggers": {
            "django_rpc": {"handlers": ["stderr"], "level": os.environ.get(LOGLEVEL, level)},
        },
    }
