"""The example server for one client by name; tokens that were used are remembered in Redis."""

import os

from django_rpc.demo.server.settings import *  # noqa: F403
from django_rpc.demo.server.settings import DJANGO_RPC

CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": os.environ["SIGNED_CACHE"]},
}
DJANGO_RPC = {
    **DJANGO_RPC,
    "SERVICE": "stock",
    "KEY": os.environ["SIGNED_SERVICE_KEY"],
    "CLIENTS": {
        "shop": {"keys": {"hs": os.environ["SIGNED_SECRET"], "ed": os.environ["SIGNED_PUBLIC"]}, "cloudpickle": True},
    },
}
