"""The client of the echo task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.echo import echo
from benchmarks.serve import serve


def call() -> Callable[[], Any]:
    return lambda: echo.delay("").get(timeout=30)


if __name__ == "__main__":
    serve({"call": call})
