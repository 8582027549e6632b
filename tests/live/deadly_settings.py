"""The example server with workers that die on request (`deadly_app`); ``DEADLY_WITHOUT`` leaves out an app."""

import os

from django_rpc.demo.server.settings import *  # noqa: F403
from django_rpc.demo.server.settings import DJANGO_RPC, INSTALLED_APPS

INSTALLED_APPS = [app for app in [*INSTALLED_APPS, "deadly_app"] if app != os.environ.get("DEADLY_WITHOUT")]

if DJANGO_RPC["BROKER_URL"].startswith("redis"):
    from django_rpc.celery.visibility_heartbeat import REDIS_OPTIONS

    # As always, in a tenth of the time.
    DJANGO_RPC = {
        **DJANGO_RPC,
        "CELERY": {"broker_transport_options": {**REDIS_OPTIONS, "visibility_timeout": 1.5}},
    }
