"""A site that calls a service in each of its requests, and once before its server forks."""

import os

from django_rpc.client.session import Output, Session
from django_rpc.graph.node import Method, Source

session = Session(
    {
        "BROKER_URL": os.environ["SERVICE_BROKER"],
        "RESULT_BACKEND": os.environ["SERVICE_BACKEND"],
        "DEFAULT_QUEUE_NAME": os.environ["SERVICE_QUEUE"],
        "TIMEOUT": 10,
    }
)


def call(value):
    node = Method(parent=Source(model="echo.Echo", service="rpc"), name="filter", kwargs={"value": value})
    return session.compute([Output(node)])[0]


call("before the fork")


def application(environ, start_response):
    answer = call(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {answer}".encode()]
