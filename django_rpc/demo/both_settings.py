"""Settings of server and client in one process, for tests: a call is encoded and decoded as on the wire, without a
broker, in the thread and transaction of the caller.
"""

from django_rpc.demo import environment
from django_rpc.demo.client import settings as client
from django_rpc.demo.client.site import settings as site
from django_rpc.demo.client.site.settings import MIDDLEWARE, ROOT_URLCONF, STATIC_URL, TEMPLATES  # noqa: F401
from django_rpc.demo.server import settings as server
from django_rpc.demo.server.settings import (  # noqa: F401 (settings are read by name)
    DEFAULT_AUTO_FIELD,
    LOGGING,
    SECRET_KEY,
    TIME_ZONE,
    USE_TZ,
)

INSTALLED_APPS = list(dict.fromkeys([*server.INSTALLED_APPS, *site.INSTALLED_APPS]))

#: Every client may call, and the setting declares it.
DJANGO_RPC = {**server.DJANGO_RPC, "CLIENTS": {"anonymous": {}}}

MIGRATION_MODULES = {**server.MIGRATION_MODULES, **site.MIGRATION_MODULES}

DATABASES = {
    "default": environment.database(default="sqlite://"),
    "rpc": {
        **client.DATABASES["rpc"],
        "ENGINE": "django_rpc.backend",
        "BROKER_URL": "memory://",
        "RESULT_BACKEND": "cache+memory://",
        "TIMEOUT": 10,
        "CELERY": {"task_always_eager": True},
    },
}
DATABASE_ROUTERS = client.DATABASE_ROUTERS
