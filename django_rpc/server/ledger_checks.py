"""The system check of a service's ledger."""

from __future__ import annotations

from typing import Any

from django.core import checks

from django_rpc.server.conf import settings
from django_rpc.server.ledger import APP, installed
from django_rpc.server.sites import site

__all__ = ["check_ledger"]


@checks.register(checks.Tags.models)
def check_ledger(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """W021: clients may write, and there is no ledger that holds that it is done once."""
    if installed() or not (_can_write() or not settings.STRICT):
        return []
    return [
        checks.Warning(
            "Clients may write, and a request whose message is delivered twice (a worker died before it could "
            "acknowledge it) is done twice: this service keeps no ledger.",
            hint=f"Add {APP!r} to INSTALLED_APPS and run migrate.",
            id="django_rpc.W021",
        )
    ]


def _can_write() -> bool:
    if any(not function.reads_only for function in site.functions.values()):
        return True
    return any(set(rpc.operations) - {"read"} or rpc.methods for rpc in site._registry.values())
