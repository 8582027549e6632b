"""The example server, open to all models, with ``main_job_app``, and a log with the fields of each request."""

import os

from django_rpc.demo.server.settings import *  # noqa: F403
from django_rpc.demo.server.settings import DJANGO_RPC, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "main_job_app"]
DJANGO_RPC = {**DJANGO_RPC, "STRICT": False}

EXTRAS = ("rpc_request", "rpc_client_host", "rpc_client_process", "rpc_client_name", "rpc_called_at")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"extras": {"format": "|".join(["%(message)s", *(f"%({name})s" for name in EXTRAS)])}},
    "handlers": {
        "file": {"class": "logging.FileHandler", "filename": os.environ["MAIN_JOB_LOG"], "formatter": "extras"}
    },
    "loggers": {"django_rpc.server": {"handlers": ["file"], "level": "INFO"}},
}
