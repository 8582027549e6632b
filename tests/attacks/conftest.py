"""Raw bytes to the server; defences, and how a test takes them out."""

from __future__ import annotations

import itertools
import json
import time

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_rpc.server.handler import handle
from django_rpc.wire import signing
from tests.server.conftest import registered, settings_of_server, unregistered  # noqa: F401 - fixtures

_numbers = itertools.count(1)


def method(parent, name, /, *args, **kwargs):
    return ["method", parent, name, list(args), kwargs]


def expr(name, /, *args, **kwargs):
    return {"$expr": [name, list(args), kwargs]}


def ref(place):
    return {"$ref": place}


class Answered:
    """The answer as JSON, its signature, the executed SQL, and its seconds of CPU time.

    The time on the clock depends on the other processes of the machine.
    """

    def __init__(self, answer, statements, seconds):
        self.signature, body = signing.parted(answer)
        self.text = body.decode()
        self.answer = json.loads(body)
        self.statements = statements
        self.seconds = seconds

    @property
    def error(self):
        return self.answer.get("error")

    @property
    def code(self):
        return self.error["code"] if self.error else "answered"

    @property
    def message(self):
        return self.error["message"]

    @property
    def output(self):
        assert self.error is None, self.error
        (value,) = self.answer["outputs"]
        return value

    @property
    def data_statements(self):
        """Return the SQL without transactions, the ledger, and the probe of Django for JSON in SQLite.

        A savepoint that the ledger kept back was never sent: drivers have no text for it, so it is logged as None.
        """
        silent = ("SAVEPOINT", "RELEASE", "ROLLBACK", "BEGIN", "SELECT JSON('")
        told = [sql for sql in self.statements if sql not in (None, "None") and not sql.startswith(silent)]
        return [sql for sql in told if "django_rpc_server_ledgerentry" not in sql]


def written(nodes, outputs=None, **more):
    """Return the bytes of a request for the last of ``nodes``, as any client can write them."""
    made = {"v": 1, "id": f"attack-{next(_numbers)}", "nodes": nodes, **more}
    return json.dumps({**made, "outputs": [len(nodes) - 1] if outputs is None else outputs}).encode()


@pytest.fixture
def send(db):
    """``send(nodes)`` or ``send(data)``: the answer to the bytes."""

    def send(message, *beside, **more):
        data = message if isinstance(message, bytes) else written(message, **more)
        started = time.thread_time()
        with CaptureQueriesContext(connection) as captured:
            answer = handle(data, *beside)
        return Answered(answer, [query["sql"] for query in captured], time.thread_time() - started)

    return send
