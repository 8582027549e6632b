"""A site that calls a service in each of its requests, and once before its server forks."""

import os

from echo_client import call

call("before the fork")


def application(environ, start_response):
    answer = call(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {answer}".encode()]
