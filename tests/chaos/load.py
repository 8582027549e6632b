"""A client process: ``python -m tests.chaos.load ORDERS``, where ORDERS is JSON, until it is told to stop.

Each call is noted before it is made and when it has ended, in a file that outlives a SIGKILL:

    {"begun": name, "kind": ..., "keyed": ..., "timeout": ...}
    {"ended": name, "state": "done" | "refused" | "unknown", "error": ..., "late": ..., "request": id, "value": ...}
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import threading
import time
from typing import Any

import django_rpc
from django_rpc import errors
from django_rpc.client import session
from django_rpc.client.session import Output, Session
from django_rpc.graph.nodes import Method, ModelSource
from django_rpc.graph.values import Expr
from django_rpc.transport import publish

ROWS = ModelSource(model="rpc_server.ServerModel", service="rpc")
#: How often each kind of call is made.
KINDS = {"read": 5, "create": 3, "add": 3, "both": 2, "refused": 1}
TIMEOUTS = (0.5, 2.0, 5.0, 9.0)
#: Errors after which the outcome of the call is unknown.
UNKNOWN = (
    errors.BrokerUnavailable,
    errors.OutcomeUnknown,
    errors.RequestExpired,
    errors.ResultBackendUnavailable,
    errors.RpcTimeout,
    errors.WorkerLost,
)
#: Sendings that arrive twice, at once or later.
TWICE, LATER, LONGEST_DELAY = 0.06, 0.06, 4.0
_PAUSE = 0.01


def outputs(kind: str, name: str, account: str) -> list[Output]:
    """The outputs of a call.  Rows may have equal names: the table does not see a second write."""
    row = Method(ROWS, "create", (), {"some_field": name, "other_field": 1})
    mine = Method(ROWS, "filter", (), {"some_field": account})
    more = Expr("CombinedExpression", (Expr("F", ("other_field",)), "+", Expr("Value", (1,))))
    nodes = {
        "read": [Method(mine, "count")],
        "create": [row],
        "add": [Method(mine, "update", (), {"other_field": more})],
        "both": [row, Method(mine, "update", (), {"other_field": more})],
        "refused": [row, Method(ROWS, "get", (), {"pk": -1})],
    }
    return [Output(node) for node in nodes[kind]]


class Client:
    """One thread's calls."""

    def __init__(self, orders: dict[str, Any], number: int, journal: int, stop: threading.Event) -> None:
        self.name = f"{orders['name']}-{number}"
        self.random = random.Random(f"{orders['seed']}{self.name}")
        self.session = Session({**orders["settings"], "EXACTLY_ONCE": True})
        self.account = orders["account"]
        self.journal = journal
        self.stop = stop

    def run(self) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            kind = self.random.choices(list(KINDS), list(KINDS.values()))[0]
            keyed = kind != "read" and self.random.random() < 0.8
            self.call(f"{self.name}-{number}", kind, keyed)
            time.sleep(_PAUSE)

    def note(self, **entry: Any) -> None:
        os.write(self.journal, json.dumps(entry).encode() + b"\n")

    def call(self, name: str, kind: str, keyed: bool) -> None:
        """Make a call, and usually repeat it under its key if its outcome is unknown."""
        tries = self.random.choice((1, 1, 4)) if keyed else 1
        timeout = self.random.choice(TIMEOUTS)
        self.note(begun=name, kind=kind, keyed=keyed, timeout=timeout)
        for left in reversed(range(tries)):
            ended = self.attempt(name, kind, keyed, timeout)
            if ended["state"] != "unknown" or not left:
                break
            self.note(retried=name, late=ended["late"], error=ended["error"])
            timeout = TIMEOUTS[-1]
        self.note(ended=name, **ended)

    def attempt(self, name: str, kind: str, keyed: bool, timeout: float) -> dict[str, Any]:
        begun = time.monotonic()
        state, error, value, request = "done", None, None, name if keyed else None
        try:
            with django_rpc.once(name) if keyed else contextlib.nullcontext():
                values = self.session.compute(outputs(kind, name, self.account), timeout=timeout)
            value = values[-1] if kind == "read" else len(values)
        except UNKNOWN as raised:
            state, error, request = "unknown", type(raised).__name__, raised.request_id
        except Exception as raised:  # noqa: BLE001 - an answer that says no
            state, error = "refused", type(raised).__name__
        late = time.monotonic() - begun - timeout
        return {"state": state, "error": error, "value": value, "request": request, "late": round(late, 3)}


def deliver_twice(chances: random.Random) -> None:
    """Let some messages arrive twice, at once or later, as a broker may deliver them."""
    original = publish.Publisher.publish

    def published(self: Any, *args: Any, **more: Any) -> None:
        original(self, *args, **more)
        lot = chances.random()
        if lot < TWICE:
            again(self, *args, **more)
        elif lot < TWICE + LATER:
            delay = chances.random() * LONGEST_DELAY
            timer = threading.Timer(delay, again, (self, *args), more)
            timer.daemon = True
            timer.start()

    def again(self: Any, *args: Any, **more: Any) -> None:
        with contextlib.suppress(errors.RpcError):
            original(self, *args, **more)

    publish.Publisher.publish = published  # type: ignore[method-assign]


def turn_clock(seconds: float) -> None:
    """Give this client a wrong clock, for the times that it sends to the service."""
    true = time.time

    class Clock:
        def __getattr__(self, name: str) -> Any:
            return getattr(time, name)

        def time(self) -> float:
            return true() + seconds

    session.time = Clock()  # type: ignore[assignment]


def main() -> None:
    orders = json.loads(sys.argv[1])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    deliver_twice(random.Random(f"{orders['seed']}{orders['name']}"))
    if orders["clock"]:
        turn_clock(orders["clock"])
    journal = os.open(orders["journal"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    clients = [Client(orders, number, journal, stop) for number in range(orders["threads"])]
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():  # so that the main thread receives signals
            thread.join(0.2)


if __name__ == "__main__":
    main()
