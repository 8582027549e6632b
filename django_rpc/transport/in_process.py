"""Transport that evaluates requests in the calling process and thread (``task_always_eager``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kombu.utils.imports import symbol_by_name

from django_rpc.transport.base import Answered, Options, Reply, Transport
from django_rpc.transport.config import Config
from django_rpc.wire.names import TASK_NAME, task_keywords

__all__ = ["InProcessTransport"]

#: Dotted name of the server's Celery application; the client does not import it.
_WORKER_APP = "django_rpc.celery.app:app"


class InProcessTransport(Transport):
    """Transport to the Celery task in this process. Messages are encoded and decoded as for a worker."""

    runs_here = True

    def __init__(self, config: Config) -> None:
        self.config = config
        self._task: Any = None

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
        if self._task is None:
            self._task = symbol_by_name(_WORKER_APP).tasks[TASK_NAME]
        keywords = task_keywords(None, token)
        result = self._task.apply(
            args=(request.decode(),), kwargs=keywords, task_id=request_id, throw=True, headers=headers
        )
        return Answered(result.result.encode())
