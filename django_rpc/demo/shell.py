"""``python -i -m django_rpc.demo.shell``: the example shop in a Python shell, for the examples of the documentation.

Service and client are in this process, with rows in memory. No broker and no worker are needed.
"""

import os

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "django_rpc.demo.both_settings"
django.setup()

from django.core.management import call_command  # noqa: E402 - needs the settings
from django.db import connections, models  # noqa: E402, F401 - a name of the shell
from django.db.models import *  # noqa: E402, F403

from django_rpc.demo.client.shop.models import *  # noqa: E402, F403
from django_rpc.demo.server.shop.data import load  # noqa: E402

call_command("migrate", run_syncdb=True, verbosity=0)
rows = load(customers=40, products=20, orders=80)  # type: ignore[no-untyped-call]  # written as users write it
