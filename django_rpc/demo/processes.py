"""A process in a separate process group that cannot outlive its parent."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from . import guard


class ServiceError(RuntimeError):
    """A process did not start, or did not answer in time. The text ends with the output of the process."""


class Process:
    """A running command: its output in a file, its end in our hands.

    ``command`` is started in a new session, so that Ctrl-C in a terminal reaches only the parent,
    which then stops things in order, and so that signals reach the whole group. ``folder``, when
    given, is removed by the guard if the parent is killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.command = list(command)
        self.log_path = log_path
        with log_path.open("ab") as log:
            self._popen = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(env) if env is not None else None,
                start_new_session=True,
            )
        self.pid = self._popen.pid
        self._finished = False
        watch = [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), str(self.pid)]
        if folder is not None:
            watch.append(str(folder))
        self._guard = subprocess.Popen(watch, stdin=subprocess.DEVNULL, start_new_session=True)

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    @property
    def returncode(self) -> int | None:
        return self._popen.poll()

    def log(self) -> str:
        """Return the output of the process so far."""
        return self.log_path.read_text(errors="replace")

    def signal_group(self, number: int) -> None:
        """Send a signal to the process and all that it started; to nothing if they are gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def pause(self) -> None:
        """Freeze the process and its children, as a hung machine would."""
        self.signal_group(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal_group(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, as a crash would; nothing is cleaned up by the process itself."""
        if not self._finished:
            self.signal_group(signal.SIGKILL)
            self._finish()

    def stop(self, timeout: float = 10) -> int | None:
        """Terminate the process, kill its group after ``timeout`` seconds, and return its exit code."""
        if self._finished:  # its number may belong to another process by now
            return self.returncode
        if self.alive:
            self.resume()
            self._popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(timeout)
        # Also after an orderly end: children of a pool may be left.
        self.signal_group(signal.SIGKILL)
        self._finish()
        return self._popen.returncode

    def _finish(self) -> None:
        self._popen.wait()
        self._guard.kill()
        self._guard.wait()
        self._finished = True

    def wait_until(self, ready: Callable[[], bool], what: str, timeout: float) -> None:
        """Return when ``ready()`` is true; a process that ended or took too long is an error."""
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.alive:
                raise ServiceError(
                    f"{what} ended with code {self.returncode} before it was ready. Its output:\n{self.log()}"
                )
            if time.monotonic() > deadline:
                raise ServiceError(f"{what} was not ready after {timeout:g} s. Its output:\n{self.log()}")
            time.sleep(0.02)
