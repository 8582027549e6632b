"""A project with a Celery app and tasks of its own, which calls a service from a task, and answers calls itself."""

import os

import echo_worker  # noqa: F401 (the server that does as it is told)
from celery import Celery

from django_rpc.celery import register
from django_rpc.client.session import Output, Session
from django_rpc.graph.node import Method, Source

# What stands in the environment is told by the test.
app = Celery("project", broker=os.environ["GUEST_BROKER"], backend=os.environ["GUEST_BACKEND"])
app.conf.task_default_queue = os.environ["GUEST_QUEUE"]
register(app)

session = Session(
    {
        "BROKER_URL": os.environ["SERVICE_BROKER"],
        "RESULT_BACKEND": os.environ["SERVICE_BACKEND"],
        "DEFAULT_QUEUE_NAME": os.environ["SERVICE_QUEUE"],
        "TIMEOUT": 10,
    }
)


def call(value):
    return session.compute(
        [Output(Method(parent=Source(model="echo.Echo", service="rpc"), name="filter", kwargs={"value": value}))]
    )


if os.environ.get("CALL_BEFORE_FORK"):
    call(1)


@app.task(name="guest.ask")
def ask(value):
    """Call the service from inside a task; say from which process."""
    return [os.getpid(), *call(value)]
