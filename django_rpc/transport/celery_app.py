"""Celery applications of the client: a process has one application for the settings of each service.

It is neither Celery's current nor its default app, so it does not change the tasks and settings of a project. It sends
and accepts JSON only.
"""

from __future__ import annotations

from typing import Any

from celery import Celery

from django_rpc.errors import ImproperSettings
from django_rpc.transport.config import Config

__all__ = ["JSON_ONLY", "make_app"]

#: Celery settings of both ends that refuse all formats except JSON.
JSON_ONLY: dict[str, Any] = {
    "task_serializer": "json",
    "result_serializer": "json",
    "event_serializer": "json",
    "accept_content": ["json"],
    "result_accept_content": ["json"],
}


def make_app(config: Config) -> Celery:
    """Return a Celery app that calls one service; raise ImproperSettings for settings that allow other formats.

    >>> make_app(Config(broker_url="redis://localhost/")).conf.accept_content
    ['json']
    """
    for name, fixed in JSON_ONLY.items():
        if config.celery.get(name, fixed) not in (fixed, tuple(fixed)):
            raise ImproperSettings(
                f"DATABASES['{config.alias}']['CELERY'] sets {name} to {config.celery[name]!r}: only JSON is spoken. "
                "Leave it out."
            )
    # Answers on Redis lists do not use Celery's results, so no result backend is imported or connected.
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
