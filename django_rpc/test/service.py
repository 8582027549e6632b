"""A service in the process of the test, which encodes and decodes all messages."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from django.db import connections

from django_rpc.transport.base import Answered, Options, Reply, Transport
from django_rpc.transport.registry import put_in_place

__all__ = ["in_process", "transport_in_place"]


@contextlib.contextmanager
def in_process(using: str = "rpc") -> Iterator[None]:
    """Answer the messages to the service ``using`` in this process, without a broker and a worker.

    The apps of the service, with models and ``rpc.py``, must be in INSTALLED_APPS. The service uses the database,
    the thread and the transaction of the test.
    """
    with transport_in_place(using, _ServiceOfTest()):
        yield


@contextlib.contextmanager
def transport_in_place(using: str, transport: Transport) -> Iterator[None]:
    """Send messages to ``using`` by ``transport``, in all threads; raises ValueError if ``using`` is no service."""
    if using not in connections or connections[using].vendor != "rpc":
        services = ", ".join(name for name in connections if connections[name].vendor == "rpc") or "none"
        raise ValueError(f"{using!r} is no service in DATABASES; the services are: {services}.")
    with put_in_place(using, transport):
        yield


class _ServiceOfTest(Transport):
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
