"""The example server, in a process with further tasks: tasks of a project, as modules define them."""

import os
from pathlib import Path

from celery import shared_task

from django_rpc.demo.server.settings import *  # noqa: F403

MARK = Path(os.environ["TEMPTING_MARK"])


@shared_task(name="shop.tasks.pay_out")
def pay_out(*args, **kwargs):
    MARK.write_text("paid")
