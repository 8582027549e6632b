"""The parent's half of a measurement: starts a lane process (see ``serve``) and has it run."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "Driver", "LaneError", "TooSlow", "environment"]

ROOT = Path(__file__).resolve().parent.parent


class LaneError(RuntimeError):
    """A lane raised an error, or its process ended. The text holds its traceback or its output."""


class TooSlow(RuntimeError):
    """A lane did not end within its time limit; its process has been killed."""


def environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a process that finds this folder's modules, with ``env`` on top."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **(env or {})}


class Driver:
    """A process that runs the lanes of one module. A context manager; restarts by itself after `TooSlow`."""

    def __init__(self, module: str, env: Mapping[str, str] | None = None, python: str = sys.executable) -> None:
        self._command = [python, "-m", module]
        self._env = environment(env)
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close)

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def times(self, lane: str, runs: int, timeout: float = 120, **args: Any) -> list[float]:
        """Run a lane ``runs`` times; the seconds of each. Raises TooSlow and LaneError."""
        return self._ask({"what": "times", "lane": lane, "args": args, "times": runs}, timeout)

    def show(self, lane: str, timeout: float = 120, **args: Any) -> Any:
        """A short form of what a lane returns."""
        return self._ask({"what": "show", "lane": lane, "args": args}, timeout)

    def peak(self, lane: str, timeout: float = 120, **args: Any) -> int:
        """The most bytes that Python held at once for one run."""
        return self._ask({"what": "peak", "lane": lane, "args": args}, timeout)

    def close(self) -> None:
        """End the process."""
        self._kill()
        self._errors.close()

    def _ask(self, command: dict[str, Any], timeout: float) -> Any:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(command).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        answer = self._read_line(process.stdout.fileno(), timeout, command["lane"])
        if "error" in answer:
            raise LaneError(f"{self._command[-1]}, {command['lane']}:\n{answer['error']}")
        return answer["value"]

    def _read_line(self, stream: int, timeout: float, lane: str) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        text = b""
        while not text.endswith(b"\n"):
            ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                self._kill()
                raise TooSlow(f"{lane} took more than {timeout:g} s")
            part = os.read(stream, 1 << 16)
            if not part:
                raise self._ended()
            text += part
        answer: dict[str, Any] = json.loads(text)
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._errors}
            self._process = subprocess.Popen(self._command, env=self._env, cwd=ROOT, **pipes)
        return self._process

    def _ended(self) -> LaneError:
        self._kill()
        self._errors.seek(0)
        output = self._errors.read().decode(errors="replace")
        return LaneError(f"The process {self._command[-1]} ended. Its output:\n{output[-3000:]}")

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            self._process = None
