"""The example server, in a process that has more tasks than the one: a project's own, as modules make them."""

import os
from pathlib import Path

from celery import shared_task

from django_rpc.demo.server.settings import *  # noqa: F403

MARK = Path(os.environ["TEMPTING_MARK"])


@shared_task(name="shop.tasks.pay_out")
def pay_out(*args, **kwargs):
    MARK.write_text("paid")
