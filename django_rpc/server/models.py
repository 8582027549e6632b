"""Table of the ledger. It exists only if ``django_rpc.server`` is in INSTALLED_APPS."""

from __future__ import annotations

from django.db import models

__all__ = ["LedgerEntry"]


class LedgerEntry(models.Model):
    """Outcome of a request that writes; inserted in the transaction of its writes.

    The key is a hash, because "a" equals "A" in MariaDB and not in other databases.
    """

    class State(models.TextChoices):
        OPEN = "open", "under way"  # visible only in its transaction
        DONE = "done", "done"
        REFUSED = "refused", "refused"
        WITHDRAWN = "withdrawn", "withdrawn"

    key = models.CharField(max_length=64, primary_key=True, editable=False)
    client = models.CharField(max_length=255)
    request = models.CharField(max_length=128)
    #: Hash of the content of the request; empty if the request was withdrawn before the service received it.
    digest = models.CharField(max_length=64)
    #: Aliases of the databases with an entry of this request, separated by commas.
    databases = models.TextField()
    state = models.CharField(max_length=10, choices=State.choices)
    answer = models.BinaryField()
    at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name_plural = "ledger entries"

    def __str__(self) -> str:
        return f"{self.client} {self.request}: {self.state}"
