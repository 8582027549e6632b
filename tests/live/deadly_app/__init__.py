"""Makes a worker of the example server die at the moment that a row names, the first time that the row is written.

``some_field`` is ``<what>:<name>``; what ``DEADLY_FOLDER`` has a file ``<name>`` for has happened already.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from django.db import transaction
from django.db.models.signals import post_save
from django.dispatch import receiver

FOLDER = Path(os.environ["DEADLY_FOLDER"])


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_with_the_worker():
    os.killpg(os.getpgid(os.getppid()), signal.SIGKILL)


ACTIONS = {
    "before-commit": die,
    "after-commit": lambda: transaction.on_commit(die),
    "worker-after-commit": lambda: transaction.on_commit(die_with_the_worker),
    "slow": lambda: time.sleep(2),
}


@receiver(post_save)
def happen(sender, instance, **kwargs):
    if sender.__name__ != "ServerModel":
        return
    what, _, name = instance.some_field.partition(":")
    with (FOLDER / name).open("a") as file:
        file.write("ran\n")
        is_first = file.tell() == len("ran\n")
    if is_first:
        ACTIONS.get(what, lambda: None)()
