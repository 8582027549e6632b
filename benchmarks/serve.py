"""The child's half of a measurement: a process that runs lanes when it is told, and says how long each run took.

Every contender has such a process of its own, so that one's garbage, imports and caches are not another's, and so
that a contender may live in another virtual environment. Only the standard library is used here.

A lane is a function that makes what is timed: ``LANES = {"get": get}``, where ``get()`` returns a callable.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import traceback
import tracemalloc
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["serve"]

Lane = Callable[..., Callable[[], Any]]


def serve(lanes: Mapping[str, Lane]) -> None:
    """Answer commands, one line of JSON each, until the parent closes the pipe."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    prepared: dict[str, Callable[[], Any]] = {}
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = _run(command, _lane(lanes, prepared, command))
        except Exception:  # noqa: BLE001 (told to the parent, which raises)
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")


def _lane(lanes: Mapping[str, Lane], prepared: dict[str, Callable[[], Any]], command: dict[str, Any]) -> Any:
    key = json.dumps([command["lane"], command["args"]])
    if key not in prepared:
        prepared[key] = lanes[command["lane"]](**command["args"])
    return prepared[key]


def _run(command: dict[str, Any], lane: Callable[[], Any]) -> dict[str, Any]:
    if command["what"] == "show":
        return {"value": _show(lane())}
    gc.collect()
    if command["what"] == "peak":
        return {"value": _peak(lane)}
    seconds = []
    for _ in range(command["times"]):
        started = time.perf_counter()
        kept = lane()
        seconds.append(time.perf_counter() - started)
        del kept  # freeing it is not part of the time
    return {"value": seconds}


def _show(value: Any) -> Any:
    """Enough of a result to see that two lanes did the same."""
    return len(value) if isinstance(value, list | tuple) else str(value)


def _peak(lane: Callable[[], Any]) -> int:
    """The most bytes that Python had allocated at once while the lane ran."""
    tracemalloc.start()
    try:
        kept = lane()
        size = tracemalloc.get_traced_memory()[1]
        del kept
    finally:
        tracemalloc.stop()
    return size
