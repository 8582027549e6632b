"""A service that is evaluated in the process of the test, through the bytes of the wire."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from django.db import connections

from django_rpc.transport.base import Answered, Options, Reply, Transport, put_in_place

__all__ = ["in_process", "transport_in_place"]


@contextlib.contextmanager
def in_process(using: str = "rpc") -> Iterator[None]:
    """Messages of the service ``using`` are answered here, by the service's own code: no broker, no worker.

    The apps of the service, with their models and ``rpc.py``, have to be in INSTALLED_APPS.  Its rows are in the
    test's database, in the test's thread and transaction.
    """
    with transport_in_place(using, _Here()):
        yield


@contextlib.contextmanager
def transport_in_place(using: str, transport: Transport) -> Iterator[None]:
    """Messages of ``using`` go to ``transport``, in all threads; raises ValueError where ``using`` is no service."""
    if using not in connections or connections[using].vendor != "rpc":
        services = ", ".join(name for name in connections if connections[name].vendor == "rpc") or "none"
        raise ValueError(f"{using!r} is no service in DATABASES; the services are: {services}.")
    with put_in_place(using, transport):
        yield


class _Here:
    runs_here = True

    def send(
        self,
        request: bytes,
        request_id: str,
        options: Options,
        *,
        repeatable: bool = False,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        from django_rpc.server import handle

        answer: Any = handle(request, token, request_id, headers or {})
        return Answered(answer)
