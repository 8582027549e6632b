"""The server's side of the first example."""

from __future__ import annotations

from django.db import models


class ServerManager(models.Manager):
    def manager_function(self, x, y, a=None, b=None):
        """Arithmetic on the arguments and the table, so that a caller sees that both arrived."""
        total = self.aggregate(total=models.Sum("other_field"))["total"] or 0
        return {
            "x": x,
            "y": y,
            "a": a,
            "b": b,
            "sum": x + y + (a or 0) + (b or 0),
            "rows": self.count(),
            "total": total,
        }

    def not_exposed(self):
        """Exists on the server and is not in ``methods``: a client cannot reach it."""
        return "nobody may read this"


class ServerModel(models.Model):
    some_field = models.CharField(max_length=32)
    other_field = models.IntegerField(default=0)

    objects = ServerManager()

    def __str__(self):
        return f"{self.some_field}/{self.other_field}"
