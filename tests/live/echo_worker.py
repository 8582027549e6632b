"""The worker's application with a server that does what a test tells it, in place of the evaluation of a graph.

Each output of a request is ``Echo.objects.filter(value=...)``: an order such as ``{"do": "sleep", ...}``, or any
other value, which comes back. Another method gets an error for an answer.
"""

import os
import signal
import time

import django_rpc.server
from django_rpc.wire.codec import decode_request, encode_response
from django_rpc.wire.messages import ErrorReport, Response


def obey(value):
    if not isinstance(value, dict) or "do" not in value:
        return value
    action = value["do"]
    if action == "sleep":
        time.sleep(value["seconds"])
    elif action == "await":  # a file that the test makes
        deadline = time.monotonic() + 60
        while not os.path.exists(value["path"]) and time.monotonic() < deadline:
            time.sleep(0.01)
    elif action == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "write":  # reports that it ran
        with open(value["path"], "a") as file:
            file.write(f"{value.get('text', 'ran')}\n")
    return os.getpid()


def handle(message):
    request = decode_request(message)
    nodes = [request.nodes[index] for index in request.outputs]
    if any(node.name != "filter" for node in nodes):
        report = ErrorReport(code="Remote", remote_name="shop.NoStock", message="none left", node=request.outputs[0])
        return encode_response(Response(id=request.id, error=report))
    return encode_response(Response(id=request.id, outputs=tuple(obey(node.kwargs["value"]) for node in nodes)))


def serve(message, token=None, request_id="", again=False, headers=None, box=None):
    return django_rpc.server.Sending(handle(message), lambda: None)


django_rpc.server.serve = serve

from django_rpc.celery.app import app  # noqa: E402

__all__ = ["app"]
