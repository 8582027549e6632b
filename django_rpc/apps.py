"""Django app for clients and servers. It completes a client's databases and imports a server's ``rpc.py`` modules."""

from __future__ import annotations

from django.apps import AppConfig

__all__ = ["DjangoRpcConfig"]


class DjangoRpcConfig(AppConfig):
    name = "django_rpc"
    verbose_name = "Django RPC"
    default_auto_field = "django.db.models.BigAutoField"

    def import_models(self) -> None:
        from django_rpc.backend.configure import configure_databases

        configure_databases()
        super().import_models()

    def ready(self) -> None:
        from django_rpc import checks  # noqa: F401 - registers the checks
        from django_rpc.server import autodiscover

        autodiscover()
        from django_rpc.server import checks as server_checks  # noqa: F401 - registers the checks
