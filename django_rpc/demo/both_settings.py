"""Server and client in one process, for tests: a call goes through the wire's bytes and back,
without a broker, within the caller's thread and transaction."""

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

#: Everybody may call, and says so.
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
