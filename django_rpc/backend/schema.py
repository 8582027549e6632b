"""The schema of a service is changed by its own migrations, never from a client."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.utils import NotSupportedError


class DatabaseSchemaEditor(BaseDatabaseSchemaEditor):
    def execute(self, sql: Any, params: Any = ()) -> None:
        raise NotSupportedError(
            f"The database {self.connection.alias!r} is a remote service: run its migrations in its own project."
        )
