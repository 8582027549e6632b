"""The worker's side of Celery.

``celery -A django_rpc.celery.app worker`` is the whole server.  A project that runs a Celery app of its own can
have it answer as well::

    from django_rpc.celery import register

    app = Celery("project")
    register(app)
"""

from django_rpc.celery.task import register

__all__ = ["register"]
