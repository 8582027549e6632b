"""Metrics of a worker: its processes count in files of PROMETHEUS_MULTIPROC_DIR, which somebody scrapes."""

from __future__ import annotations

import logging
import os

from celery import signals

__all__ = ["count_in_files"]

logger = logging.getLogger("django_rpc.telemetry")


def count_in_files() -> None:
    """Before the pool starts: have its processes count (`telemetry.metrics`) where the directory is named."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return
    try:
        import prometheus_client  # noqa: F401 - that it is there is what the observers look at
    except ImportError:
        logger.warning(
            "PROMETHEUS_MULTIPROC_DIR is set, and nothing is counted: its library comes with 'django-rpc[metrics]'."
        )
        return
    signals.worker_process_shutdown.connect(_forget_process, weak=False)


def _forget_process(pid: int, **kwargs: object) -> None:
    """Remove the gauges of a process that ended; its counters remain."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]  # the library has types for other modules only
