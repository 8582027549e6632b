"""The example server for a storm: connections that are kept, and a visibility time-out of 4 s in place of 15."""

from django_rpc.demo.server.settings import *  # noqa: F403
from django_rpc.demo.server.settings import DATABASES, DJANGO_RPC

DATABASES["default"].update(CONN_MAX_AGE=60, CONN_HEALTH_CHECKS=True)
DJANGO_RPC = {**DJANGO_RPC, "SHOW_SQL": False}

if DJANGO_RPC["BROKER_URL"].startswith("redis"):
    from django_rpc.celery.visibility_heartbeat import REDIS_OPTIONS

    DJANGO_RPC["CELERY"] = {"broker_transport_options": {**REDIS_OPTIONS, "visibility_timeout": 4}}
