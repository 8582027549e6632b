"""The example server as a production service runs: a worker keeps its connection to the database.

Django's default, a connection for each task, costs 1 to 2 ms of every call on SQLite alone.
"""

from django_rpc.demo.server.settings import *  # noqa: F403 (settings are read by name)
from django_rpc.demo.server.settings import DATABASES

DATABASES["default"]["CONN_MAX_AGE"] = 600
