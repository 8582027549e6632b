"""A session with the service that the environment names, and a call of it: for programs that tests start."""

import os

from django_rpc.client.session import Output, Session
from django_rpc.graph.nodes import Method, ModelSource

session = Session(
    {
        "BROKER_URL": os.environ["SERVICE_BROKER"],
        "RESULT_BACKEND": os.environ["SERVICE_BACKEND"],
        "DEFAULT_QUEUE_NAME": os.environ["SERVICE_QUEUE"],
        "TIMEOUT": 10,
    }
)


def call(value):
    """Return the service's answer to ``value``."""
    node = Method(parent=ModelSource(model="echo.Echo", service="rpc"), name="filter", kwargs={"value": value})
    return session.compute([Output(node)])[0]
