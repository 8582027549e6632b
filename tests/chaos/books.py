"""The journals of the clients against the rows of the service: each call is in one of three states, which is true."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from django_rpc.client.session import Session
from tests.chaos.scene import ACCOUNT, Scene

__all__ = ["Books", "Call", "balance", "read_journals"]

#: A call may end this much after its time-out.
SLACK = 2.0
#: Rows and additions that a call of each kind makes when it is done.
ROWS = {"read": 0, "create": 1, "add": 0, "both": 1, "refused": 1}
ADDED = {"read": 0, "create": 0, "add": 1, "both": 1, "refused": 0}


@dataclass
class Call:
    """The client's knowledge of a call at the end; ``state`` None: it was killed before the call had ended."""

    name: str
    kind: str
    keyed: bool
    state: str | None = None
    error: str | None = None
    request: str | None = None
    value: Any = None
    lateness: list[float] = field(default_factory=list)
    tries: int = 1
    asked: str | None = None  # the outcome that the service reported


@dataclass
class Books:
    """The counts, and the differences."""

    calls: int = 0
    by_state: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    ledger: Counter[str] = field(default_factory=Counter)
    tried_again: int = 0
    rows: int = 0
    added: int = 0
    latest: float = 0.0
    wrong: list[str] = field(default_factory=list)


def read_journals(paths: Iterable[Path]) -> list[Call]:
    """The calls of all clients, as the services reported them."""
    calls: dict[str, Call] = {}
    for path in paths:
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            if "begun" in entry:
                calls[entry["begun"]] = Call(entry["begun"], entry["kind"], entry["keyed"])
            elif "retried" in entry:
                call = calls[entry["retried"]]
                call.tries += 1
                call.lateness.append(entry["late"])
            else:
                call = calls[entry["ended"]]
                call.state, call.error, call.value = entry["state"], entry["error"], entry["value"]
                call.request = entry["request"]
                call.lateness.append(entry["late"])
    return list(calls.values())


def balance(scene: Scene) -> Books:
    """Query the outcome of unknown calls, and compare all known outcomes with the rows."""
    calls = read_journals(scene.journals)
    for call in calls:
        ask(scene.session, call)
    scene.settle()
    rows, account, ledger = contents(scene.database.url)
    books = Books(calls=len(calls), rows=sum(rows.values()), added=account, ledger=ledger)
    least = most = 0
    for call in calls:
        books.by_state[call.state or "client killed"] += 1
        books.errors[call.error or "none"] += 1
        books.tried_again += call.tries > 1
        books.latest = max([books.latest, *call.lateness])
        if call.asked:
            books.asked[call.asked] += 1
        least, most = least + ADDED[call.kind] * is_done(call)[0], most + ADDED[call.kind] * is_done(call)[1]
        books.wrong += faults(call, rows.pop(call.name, 0))
    if not least <= account <= most:
        books.wrong.append(f"the account is {account}, and {least} to {most} additions were done")
    books.wrong += [f"a row of nobody: {name}" for name in rows]
    books.wrong += [f"the ledger has {count} open entries" for state, count in ledger.items() if state == "open"]
    return books


def ask(session: Session, call: Call) -> None:
    """Settle a call with an outcome that its client does not know."""
    request = call.request or (call.name if call.keyed else None)
    if call.kind != "read" and call.state in ("unknown", None) and request is not None:
        call.asked = session.outcome(request, settle=True, timeout=30).state


def is_done(call: Call) -> tuple[int, int]:
    """How often a call was done at least, and at most."""
    if call.state == "done" or call.asked == "done":
        return 1, 1
    if call.state == "refused" or call.asked is not None:
        return 0, 0
    return 0, 1  # its client was killed, and had no key for it


def faults(call: Call, rows: int) -> list[str]:
    """Return the differences of a call with this number of rows."""
    found = [f"{call.name} ended {late:.1f} s after its time-out" for late in call.lateness if late > SLACK]
    if call.kind == "read" and call.state == "done" and call.value != 1:
        found.append(f"{call.name} read {call.value} accounts")
    if call.kind == "refused" and (call.state == "done" or call.asked == "done"):
        found.append(f"{call.name} was done, and cannot be")
    if call.asked == "partly":
        found.append(f"{call.name} is done in part")
    least, most = (ROWS[call.kind] * number for number in is_done(call))
    if not least <= rows <= most:
        found.append(f"{call.name} ({call.kind}, {call.state}, asked: {call.asked}) is there {rows} times")
    return found


def contents(url: str) -> tuple[Counter[str], int, Counter[str]]:
    """Rows by name, the account, and entries of the ledger by state."""
    with psycopg.connect(url) as connection:
        named = connection.execute("SELECT some_field, count(*) FROM rpc_server_servermodel GROUP BY some_field")
        rows = Counter({str(name): int(count) for name, count in named})
        ((account,),) = connection.execute(
            "SELECT other_field FROM rpc_server_servermodel WHERE some_field = %s", (ACCOUNT,)
        ).fetchall()
        states = connection.execute("SELECT state, count(*) FROM django_rpc_server_ledgerentry GROUP BY state")
        ledger = Counter({str(state): int(count) for state, count in states})
    del rows[ACCOUNT]
    return rows, int(account), ledger
