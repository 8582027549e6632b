"""The two runs of each test, combined: counted or left out and the reason, passed or failed and the cause."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

__all__ = ["App", "Verdict", "judge"]

#: Verdicts of one test.  The first two are counted.
PASS, FAIL, SKIP, CONTROL, SQL, NOT_ASKED = "pass", "fail", "skipped", "control", "SQL text", "not asked"


@dataclass
class Verdict:
    """``kind`` is one of the above; ``reason`` says why, for all but a pass."""

    kind: str
    reason: str = ""
    cause: str = ""


@dataclass
class App:
    name: str
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    control_passed: int = 0
    broken: str = ""

    def count(self, *kinds: str) -> int:
        return sum(1 for verdict in self.verdicts.values() if verdict.kind in kinds)

    @property
    def counted(self) -> int:
        return self.count(PASS, FAIL)

    @property
    def run(self) -> int:
        return len(self.verdicts)

    def failures(self) -> dict[str, Verdict]:
        return {name: verdict for name, verdict in self.verdicts.items() if verdict.kind == FAIL}

    def left_out(self) -> dict[str, Verdict]:
        return {name: v for name, v in self.verdicts.items() if v.kind in (CONTROL, SQL)}


def judge(name: str, control: dict[str, Any] | None, mirror: dict[str, Any] | None) -> App:
    """The verdicts on the tests of one app from its two runs; a run is None where its process died."""
    app = App(name)
    if control is None:
        app.broken = "the control run died"
        return app
    remote = mirror["tests"] if mirror is not None else {}
    ways = mirror["broken_modules"] if mirror is not None else {name: "the run over RPC died"}
    for test, record in control["tests"].items():
        app.control_passed += record["outcome"] == "pass"
        app.verdicts[test] = _verdict(test, record, remote, ways)
    for module, error in control["broken_modules"].items():
        app.verdicts[module] = Verdict(CONTROL, f"The module cannot be imported twice: {_last_line(error)}")
    return app


def _verdict(test: str, control: dict[str, Any], remote: dict[str, Any], broken: dict[str, str]) -> Verdict:
    if control["outcome"] == "skip":
        return Verdict(SKIP, control.get("reason", ""))
    if control["outcome"] == "fail":
        cause = control["cause"]
        return Verdict(CONTROL, f"{cause['type']}: {_first_line(cause['message'])}")
    record, by_class = _remote_record(test, remote, broken)
    sql = sorted({*control["sql"], *(() if by_class else record["sql"])})
    if sql:
        return Verdict(SQL, ", ".join(sql))
    if record["outcome"] == "skip":
        return Verdict(FAIL, f"Skipped over RPC alone: {record.get('reason')}", "skipped over RPC alone")
    if record["outcome"] == "fail":
        return Verdict(FAIL, _reason(record["cause"]), _cause(record, control))
    if record.get("leaks"):
        return Verdict(FAIL, f"SQL past the server: {record['leaks'][0]}", "SQL for a mirror ran outside the server")
    if not record["messages"]:
        return Verdict(NOT_ASKED, "No mirror was asked.")
    return Verdict(PASS)


def _remote_record(test: str, remote: dict[str, Any], broken: dict[str, str]) -> tuple[dict[str, Any], bool]:
    if test in remote:
        return remote[test], False
    cls = f"{test.rpartition('.')[0]}.setUpClass"
    if cls in remote:
        return remote[cls], True
    error = next((text for module, text in broken.items() if test.startswith(module)), "the test did not run")
    cause = {"type": "ImportError", "at": "", "message": _last_line(error)}
    return {"outcome": "fail", "cause": cause, "sql": [], "messages": 0}, True


def _reason(cause: dict[str, str]) -> str:
    return f"{cause['type']}: {_first_line(cause['message'])}"


def _cause(record: dict[str, Any], control: dict[str, Any]) -> str:
    """The group of a failure: the exception, the innermost package frame, the message without its particulars."""
    cause = record["cause"]
    if control.get("reads_sql"):
        return f"reads SQL: {', '.join(control['reads_sql'])}"
    shape = re.sub(r"0x[0-9a-f]+|\d+", "N", cause["message"].splitlines()[0] if cause["message"] else "")
    shape = re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", shape)
    shape = re.sub(r"<[^<>]*>", "<…>", shape)
    if cause["type"] == "AssertionError":
        shape = _assertion_shape(shape)
    return f"{cause['type']} at {cause['at'] or 'the test'}: {shape[:110]}"


def _assertion_shape(shape: str) -> str:
    for sign in (" not less than or equal to ", " != ", " is not ", " not found in ", " raised", " not raised", " is "):
        if sign in shape:
            return f"…{sign}…"
    return shape


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0][:200]


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][:200]


def causes(apps: list[App]) -> list[tuple[str, list[str]]]:
    """The groups of failures with their tests, the largest first."""
    groups: dict[str, list[str]] = {}
    for app in apps:
        for test, verdict in app.failures().items():
            groups.setdefault(verdict.cause, []).append(test)
    return sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))


def left_out_reasons(apps: list[App]) -> Counter[str]:
    return Counter(v.reason for app in apps for v in app.left_out().values())
