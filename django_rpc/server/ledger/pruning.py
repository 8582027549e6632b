"""Entries of the ledger that no message can refer to any more are deleted."""

from __future__ import annotations

import datetime

from django.apps import apps
from django.db import transaction
from django.utils import timezone

from django_rpc.server.conf import settings
from django_rpc.server.ledger.ledger import kept_in

__all__ = ["prune"]

#: Rows of one statement and transaction: others wait for a short time only.
BATCH = 1000


def prune(days: float | None = None, databases: list[str] | None = None) -> dict[str, int]:
    """Delete entries older than ``days`` (by default the setting LEDGER_DAYS); how many by database.

    ``databases`` are aliases, by default all that have a ledger.
    """
    age = datetime.timedelta(days=settings.LEDGER_DAYS if days is None else days)
    limit = timezone.now() - age
    return {alias: _prune(alias, limit) for alias in kept_in(databases)}


def _prune(alias: str, limit: datetime.datetime) -> int:
    old = apps.get_model("django_rpc_server.LedgerEntry")._base_manager.using(alias).filter(at__lt=limit)
    deleted = 0
    while keys := list(old.order_by("at").values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic(using=alias):
            deleted += old.filter(pk__in=keys).delete()[0]
    return deleted
