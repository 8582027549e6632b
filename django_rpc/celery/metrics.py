"""Metrics of a worker: its processes count in files of PROMETHEUS_MULTIPROC_DIR, which a Prometheus scrape reads."""

from __future__ import annotations

import logging
import os

from celery import signals

__all__ = ["count_in_files"]

logger = logging.getLogger("django_rpc.telemetry")


def count_in_files() -> None:
    """Enable the metrics (`telemetry.metrics`) of the processes of the pool if PROMETHEUS_MULTIPROC_DIR is set."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return
    try:
        import prometheus_client  # noqa: F401 - the observers count if the module has been imported
    except ImportError:
        logger.warning(
            "PROMETHEUS_MULTIPROC_DIR is set, but nothing is counted: install its library with 'django-rpc[metrics]'."
        )
        return
    signals.worker_process_shutdown.connect(_forget_process, weak=False)


def _forget_process(pid: int, **kwargs: object) -> None:
    """Remove the gauges of a process that ended; its counters remain."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]  # the library has types for other modules only
