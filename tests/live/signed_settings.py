"""The example server for one client by name; tokens that were used are remembered in Redis."""

import json
import os

import redis

from django_rpc.demo.server.settings import *  # noqa: F403
from django_rpc.demo.server.settings import DJANGO_RPC
from django_rpc.telemetry.hooks import OF_SERVER

HEADERS = ("traceparent", "x-request-id", "task", "timelimit", "parent_id")


def note_headers(message):
    """An observer that keeps the headers of each message, in their order, where the tests find them."""
    if message.headers.get("x-request-id"):
        kept = {name: message.headers.get(name) for name in HEADERS}
        redis.Redis.from_url(os.environ["SIGNED_CACHE"]).rpush("signed:headers", json.dumps(kept))


CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": os.environ["SIGNED_CACHE"]},
}
DJANGO_RPC = {
    **DJANGO_RPC,
    "SERVICE": "stock",
    "OBSERVERS": [*OF_SERVER, "signed_settings.note_headers"],
    "KEY": os.environ["SIGNED_SERVICE_KEY"],
    "CLIENTS": {
        "shop": {"keys": {"hs": os.environ["SIGNED_SECRET"], "ed": os.environ["SIGNED_PUBLIC"]}, "cloudpickle": True},
    },
}
