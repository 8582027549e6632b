"""Progress bar of the plans within a block, for terminals and notebooks (``with ProgressBar():``)."""

from __future__ import annotations

import html
import importlib
import sys
import threading
import time
from contextvars import Token
from typing import TYPE_CHECKING, Any, TextIO

from django_rpc.client.hooks import Hook, context_hooks

if TYPE_CHECKING:
    from django_rpc.client.execute import Run

__all__ = ["ProgressBar"]

_WIDTH = 30  # of the bar, in characters


class ProgressBar(Hook):
    """Progress bar of the stages of all plans that are computed, awaited or submitted within the block, as in dask.

        with django_rpc.ProgressBar():
            report.compute()

    A plan is shown after ``minimum`` seconds, and its clock is updated after each ``every`` seconds. In a notebook the
    bar is a part of the output of the cell. Elsewhere it is a line of ``file`` (default: the standard error output).
    """

    def __init__(self, minimum: float = 0.0, every: float = 0.1, file: TextIO | None = None) -> None:
        self.minimum = minimum
        self.every = every
        self._file = file
        self._lines: dict[int, _Line] = {}
        self._token: Token[tuple[Hook, ...]] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> ProgressBar:
        self._token = context_hooks.set((*context_hooks.get(), self))
        return self

    def __exit__(self, *exception: object) -> None:
        if self._token is not None:
            context_hooks.reset(self._token)
            self._token = None

    def stage_begins(self, run: Run, number: int) -> None:
        with self._lock:
            line = self._lines.get(id(run))
            if line is None:
                line = self._lines[id(run)] = _Line(run, self.minimum, self.every, _screen(self._file))
        line.began(number)

    def stage_ends(self, run: Run, number: int) -> None:
        line = self._lines.get(id(run))
        if line is not None:
            line.ended(number)

    def plan_ends(self, run: Run) -> None:
        with self._lock:
            line = self._lines.pop(id(run), None)
        if line is not None:
            line.close()


class _Line:
    """Line of one run, which is drawn when a stage begins or ends, and regularly."""

    def __init__(self, run: Run, minimum: float, every: float, screen: _Screen) -> None:
        self._stages = run.plan.stages
        self._started = time.monotonic()
        self._minimum = minimum
        self._screen = screen
        self._done: set[int] = set()
        self._working: dict[int, None] = {}
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._clock = threading.Thread(target=self._tick, args=(every,), name="rpc-progress", daemon=True)
        self._clock.start()

    def began(self, number: int) -> None:
        with self._lock:
            self._working[number] = None
            self._show()

    def ended(self, number: int) -> None:
        with self._lock:
            self._working.pop(number, None)
            self._done.add(number)
            self._show()

    def close(self) -> None:
        self._closing.set()
        self._clock.join()
        with self._lock:
            self._show()
            self._screen.end()

    def _tick(self, every: float) -> None:
        while not self._closing.wait(every):
            with self._lock:
                self._show()

    def _show(self) -> None:
        seconds = time.monotonic() - self._started
        if seconds >= self._minimum:
            self._screen.draw(len(self._done), len(self._stages), self._in_progress(), seconds)

    def _in_progress(self) -> str:
        """Return the stages in progress: ``stage 2: here``."""
        if self._closing.is_set() and self._working:
            return f"failed at stage {min(self._working) + 1}"
        names = [f"stage {number + 1}: {self._stages[number].service or 'here'}" for number in sorted(self._working)]
        return ", ".join(names)


class _Screen:
    """Screen that shows the current state of a bar."""

    def draw(self, done: int, total: int, at: str, seconds: float) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """Leave the last state of the bar on the screen."""


class _Terminal(_Screen):
    """Line of a terminal, with colours if rich is installed. Another file gets only the last state of the bar."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._is_live = file.isatty()
        self._console = _rich_console(file) if self._is_live else None
        self._last = ""

    def draw(self, done: int, total: int, at: str, seconds: float) -> None:
        full = _WIDTH * done // total
        bar = f"{'#' * full}{' ' * (_WIDTH - full)}"
        text = f"[{bar}] {done}/{total} stages  {seconds:5.1f} s  {at}"
        padding = " " * max(0, len(self._last) - len(text))
        self._last = text
        if self._console is not None:
            colored_bar = f"[green]{'━' * full}[/green][dim]{'━' * (_WIDTH - full)}[/dim]"
            self._console.print(f"\r{colored_bar} {done}/{total} stages  {seconds:5.1f} s  {at}{padding}", end="")
        elif self._is_live:
            self._file.write(f"\r{text}{padding}")
        self._file.flush()

    def end(self) -> None:
        if self._last:
            self._file.write("\n" if self._is_live else self._last.rstrip() + "\n")
            self._file.flush()


class _Notebook(_Screen):
    """Output of a cell, which is overwritten at each change."""

    def __init__(self, display: Any) -> None:
        self._display = display
        self._handle: Any = None

    def draw(self, done: int, total: int, at: str, seconds: float) -> None:
        text = html.escape(f"{done}/{total} stages, {seconds:.1f} s {at}")
        shown = self._display.HTML(f'<progress max="{total}" value="{done}"></progress> {text}')
        if self._handle is None:
            self._handle = self._display.display(shown, display_id=True)
        else:
            self._handle.update(shown)


def _rich_console(file: TextIO) -> Any:
    try:
        console = importlib.import_module("rich.console")
    except ImportError:
        return None
    return console.Console(file=file, highlight=False, soft_wrap=True)


def _screen(file: TextIO | None) -> _Screen:
    if file is None and "ipykernel" in sys.modules and "IPython" in sys.modules:
        shell = importlib.import_module("IPython").get_ipython()
        if shell is not None and hasattr(shell, "kernel"):
            return _Notebook(importlib.import_module("IPython.display"))
    return _Terminal(file if file is not None else sys.stderr)
