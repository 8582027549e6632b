"""The Django user of a client: ``"CLIENTS": {"shop": {"keys": {...}, "user": "rpc-shop"}}``."""

from __future__ import annotations

import functools
import logging
from typing import Any

from django.apps import apps
from django.utils.functional import SimpleLazyObject

from django_rpc.server.core.clients import Client

__all__ = ["user_of"]

logger = logging.getLogger("django_rpc.server")


def user_of(client: Client) -> Any:
    """Return the user of ``client``, loaded at the first access; AnonymousUser without an active user.

    None if ``django.contrib.auth`` is not installed.
    """
    if not apps.is_installed("django.contrib.auth"):
        return None
    return SimpleLazyObject(functools.partial(_load, client))


def _load(client: Client) -> Any:
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import AnonymousUser

    if client.user is None:
        return AnonymousUser()
    users = get_user_model()
    try:
        user = users._default_manager.get_by_natural_key(client.user)
    except users.DoesNotExist:
        logger.error("The user %r of the client %r does not exist: it has no permissions.", client.user, client.name)
        return AnonymousUser()
    return user if user.is_active else AnonymousUser()
