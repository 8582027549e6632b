"""The worker of a service, and its Celery application.

``celery -A django_rpc.celery.app worker`` starts a worker. A project can also let the workers of another Celery app
answer::

    from django_rpc.celery import register

    app = Celery("project")
    register(app)
"""

from django_rpc.celery.task import register

__all__ = ["register"]
