"""Loaded into a worker with Celery's ``--include``: make a file when the worker is ready.

A log line would do, but is printed only at level INFO; a ping through the broker takes a second.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery.signals import worker_ready

VARIABLE = "DJANGO_RPC_DEMO_READY_FILE"


def say_so(**_: Any) -> None:
    """Make the file that the starting process waits for."""
    Path(os.environ[VARIABLE]).touch()


worker_ready.connect(say_so, dispatch_uid=__name__)
