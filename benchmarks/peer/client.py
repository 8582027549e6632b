"""The lanes of djangoceleryrpc's client: dictionaries, which is what it returns."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from celery_rpc.client import Client

from benchmarks.serve import serve

MODEL = "benchmarks.peer.models:Client"
client = Client()


def get() -> Callable[[], Any]:
    """One row by its key."""
    keys = itertools.cycle(range(1, 401))
    return lambda: client.filter(MODEL, kwargs={"filters": {"pk": next(keys)}})


def rows(count: int) -> Callable[[], Any]:
    return lambda: client.filter(MODEL, kwargs={"order_by": "id", "limit": count})


if __name__ == "__main__":
    serve({"get": get, "rows": rows})
