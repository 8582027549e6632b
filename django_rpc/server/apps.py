"""App of a service with the table of the ledger; a client does not need it."""

from __future__ import annotations

from django.apps import AppConfig

__all__ = ["ServerConfig"]


class ServerConfig(AppConfig):
    name = "django_rpc.server"
    label = "django_rpc_server"
    verbose_name = "Django RPC server"
    default_auto_field = "django.db.models.BigAutoField"
