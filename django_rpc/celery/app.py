"""The worker's application: ``celery -A django_rpc.celery.app worker``.

It serves the Django project of ``DJANGO_SETTINGS_MODULE``, with the options in its setting ``DJANGO_RPC``. The options
have the same names as in a client's entry in DATABASES. The import does not make it the current or the default app; a
worker process does that itself.
"""

from __future__ import annotations

import logging
import os
from functools import partial
from typing import Any

import django
from celery import Celery, signals
from celery.app.registry import TaskRegistry
from django.apps import apps
from django.conf import settings
from django.core.checks import ERROR
from django.db import connections
from kombu import Exchange, Queue

from django_rpc.celery.compat import AMQP, close_inherited
from django_rpc.celery.consumer import Consumer
from django_rpc.celery.metrics import count_in_files
from django_rpc.celery.task import register
from django_rpc.celery.visibility_heartbeat import REDIS_OPTIONS, VisibilityHeartbeat
from django_rpc.errors import ImproperSettings
from django_rpc.transport.celery_app import JSON_ONLY
from django_rpc.transport.config import Config
from django_rpc.wire.names import PRUNE_TASK_NAME, TASK_NAME

__all__ = ["app", "celery", "make_app"]

logger = logging.getLogger("django_rpc.server")


#: The last task is for result backends that never delete results; beat calls it.
_TASKS = frozenset({TASK_NAME, PRUNE_TASK_NAME, "celery.backend_cleanup"})
#: Seconds between two runs of the task that prunes the ledger.
PRUNE_SECONDS = 3600.0


class Tasks(TaskRegistry):
    """The tasks of this app: no ``shared_task`` of the project, and no task of Celery that runs other tasks.

    Such tasks are registered with every app of a process, and each program with access to the broker could call them.
    """

    def __setitem__(self, name: str, task: Any) -> None:
        if name in _TASKS:
            super().__setitem__(name, task)


def make_app(options: dict[str, Any]) -> Celery:
    """Return an application for a worker with these ``DJANGO_RPC`` settings; raise ImproperSettings for wrong settings.

    >>> make_app({"BROKER_URL": "redis://localhost/"}).conf.accept_content
    ['json']
    """
    config = Config.from_dict(options, "server", name="DJANGO_RPC")
    application = Celery(
        "django_rpc",
        set_as_current=False,
        tasks=Tasks(),
        amqp=AMQP,
        broker=config.broker_url,
        backend=config.result_backend or "disabled://",
        # Celery's fixup for Django makes the app the default app of any process that imports it, and closes the
        # database's connection after every task. Here CONN_MAX_AGE decides, as in a web process (see `task`).
        fixups=[],
    )
    application.conf.update(_defaults(config))
    application.conf.update(config.celery)
    application.conf.update(JSON_ONLY)
    application.steps["consumer"].add(VisibilityHeartbeat)
    register(application, reply_url=config.result_backend)
    return application


def _defaults(config: Config) -> dict[str, Any]:
    # The priority queue is first: with "priority", a Redis worker empties it before it reads the other queue.
    names = dict.fromkeys([config.priority_queue, config.default_queue])
    return {
        "task_queues": [Queue(name, Exchange(name), routing_key=name) for name in names],
        "task_default_queue": config.default_queue,
        "broker_transport_options": {"queue_order_strategy": "priority", **REDIS_OPTIONS} if _on_redis(config) else {},
        # A worker takes a message only when it can process it; until then another worker can take the message.
        "worker_prefetch_multiplier": 1,
        "broker_connection_retry_on_startup": True,
        # A Redis that is full, or becomes a replica, and a RabbitMQ that closes a channel are no reason to end.
        "broker_channel_error_retry": True,
        "worker_consumer": f"{Consumer.__module__}:{Consumer.__qualname__}",
        # For projects with beat: `celery -A django_rpc.celery.app beat`, or the worker's option -B.
        "beat_schedule": {
            PRUNE_TASK_NAME: {
                "task": PRUNE_TASK_NAME,
                "schedule": PRUNE_SECONDS,
                "options": {"queue": config.default_queue, "expires": PRUNE_SECONDS},
            }
        },
        "timezone": settings.TIME_ZONE or "UTC",
        "enable_utc": True,
    }


def _on_redis(config: Config) -> bool:
    return (config.broker_url or "").startswith(("redis://", "rediss://", "redis+socket://", "sentinel://"))


if not apps.ready:
    django.setup()

from django_rpc.server import checks  # noqa: E402 - need the app registry
from django_rpc.server.query import timeouts  # noqa: E402 - need the app registry

app = celery = make_app(getattr(settings, "DJANGO_RPC", {}))


@signals.worker_init.connect(weak=False)
def _begin(sender: Any = None, **kwargs: Any) -> None:
    """Before the pool starts: refuse to serve without a broker, with formats other than JSON, or invalid CLIENTS."""
    if sender is None or sender.app is not app:
        return
    if not app.conf.broker_url:
        raise SystemExit(str(ImproperSettings("DJANGO_RPC has no BROKER_URL: name the broker to take messages from.")))
    for name, fixed in JSON_ONLY.items():
        if list(app.conf[name]) != list(fixed):
            raise SystemExit(f"{name} is {app.conf[name]!r}, but django_rpc accepts only JSON: remove the setting.")
    mistakes = [message for message in checks.messages() if message.level >= ERROR]
    if mistakes:  # `celery worker` runs no system checks, and a mistake could open the service to everyone
        raise SystemExit("\n".join(map(str, mistakes)))
    timeouts.keep()
    count_in_files()
    # Processes of the pool must not share a connection that the start-up opened.
    connections.close_all()
    signals.worker_process_init.connect(partial(_begin_process, os.getpid()), weak=False)


@signals.celeryd_after_setup.connect(weak=False)
def _log_warnings(instance: Any = None, **kwargs: Any) -> None:
    """Log the warnings of the system checks, after the worker has configured its logging."""
    if instance is None or instance.app is not app:
        return
    for message in checks.messages():
        logger.warning("%s", message)


def _begin_process(parent: int, **kwargs: Any) -> None:
    """Initialize a process of the pool, which may have been forked from a busy worker."""
    close_inherited(parent)
