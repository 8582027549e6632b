"""The settings of a run against another release's worker: as `both_settings`, but for where the service is.

The models of the service are here too, on the worker's own database: what a test expects is asked of them.
"""

from django_rpc.demo import environment
from django_rpc.demo.both_settings import *  # noqa: F403 (settings are read by name)
from django_rpc.demo.both_settings import DATABASES as _DATABASES

_database = environment.database()
DATABASES = {
    # The tests use the worker's file itself, and no separate file.
    "default": {**_database, "TEST": {"NAME": _database["NAME"]}},
    "rpc": {**_DATABASES["rpc"], **environment.broker(), "CELERY": {}, "TEST": {"REAL_SERVICE": True}},
}
