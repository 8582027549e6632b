"""A project with a Celery app and tasks, which calls a service from a task, and answers calls itself."""

import os

import echo_worker  # noqa: F401 (the server that does as it is told)
from celery import Celery
from echo_client import call

from django_rpc.celery import register

# The test sets these environment variables.
app = Celery("project", broker=os.environ["GUEST_BROKER"], backend=os.environ["GUEST_BACKEND"])
app.conf.task_default_queue = os.environ["GUEST_QUEUE"]
register(app)

if os.environ.get("CALL_BEFORE_FORK"):
    call(1)


@app.task(name="guest.ask")
def ask(value):
    """Call the service from inside a task; return the process id too."""
    return [os.getpid(), call(value)]
