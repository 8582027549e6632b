"""The table of the ledger.  Only where ``django_rpc.server`` is in INSTALLED_APPS: `ledger` asks for that first."""

from __future__ import annotations

from django.db import models

__all__ = ["LedgerEntry"]


class LedgerEntry(models.Model):
    """What became of one writing request; written in the transaction of its writes.

    The key is a hash, since databases differ in which texts are equal: to MariaDB "a" is "A".
    """

    class State(models.TextChoices):
        OPEN = "open", "under way"  # seen by its own transaction alone
        DONE = "done", "done"
        REFUSED = "refused", "refused"
        WITHDRAWN = "withdrawn", "withdrawn"

    key = models.CharField(max_length=64, primary_key=True, editable=False)
    client = models.CharField(max_length=255)
    request = models.CharField(max_length=128)
    #: Hash of what the request asks for; empty where an id was withdrawn whose request nobody has seen.
    digest = models.CharField(max_length=64)
    #: The databases that hold an entry of this request, by their aliases, with a comma between them.
    databases = models.TextField()
    state = models.CharField(max_length=10, choices=State.choices)
    answer = models.BinaryField()
    at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name_plural = "ledger entries"

    def __str__(self) -> str:
        return f"{self.client} {self.request}: {self.state}"
