"""The client's Celery application: one for each service's settings in a process, and never anybody else's.

It is neither the current nor the default app, so a project's own tasks and settings stay undisturbed, and it
speaks JSON only.
"""

from __future__ import annotations

from typing import Any

from celery import Celery

from django_rpc.errors import ImproperSettings
from django_rpc.transport.config import Config

__all__ = ["JSON_ONLY", "make_app"]

#: Settings that keep anything but JSON out, at both ends.
JSON_ONLY: dict[str, Any] = {
    "task_serializer": "json",
    "result_serializer": "json",
    "event_serializer": "json",
    "accept_content": ["json"],
    "result_accept_content": ["json"],
}


def make_app(config: Config) -> Celery:
    """A Celery app for calling one service; raises ImproperSettings for settings that would open another format.

    >>> make_app(Config(broker_url="redis://localhost/")).conf.accept_content
    ['json']
    """
    for name, fixed in JSON_ONLY.items():
        if config.celery.get(name, fixed) not in (fixed, tuple(fixed)):
            raise ImproperSettings(
                f"DATABASES['{config.alias}']['CELERY'] sets {name} to {config.celery[name]!r}: only JSON is spoken. "
                "Leave it out."
            )
    # With the Redis reply path Celery's own results are unused: no connection, no import of a backend.
    backend = None if config.replies_by_redis else config.result_backend
    app = Celery(
        f"django_rpc.client.{config.alias}",
        set_as_current=False,
        broker=config.broker_url,
        backend=backend or "disabled://",
        fixups=[],  # Django's fixup is for workers
    )
    app.conf.update({"task_send_sent_event": False, **config.celery, **JSON_ONLY})
    return app
