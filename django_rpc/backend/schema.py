"""The schema editor of a service. It refuses all changes, since the project of the service migrates its database."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.utils import NotSupportedError


class DatabaseSchemaEditor(BaseDatabaseSchemaEditor):
    def execute(self, sql: Any, params: Any = ()) -> None:
        raise NotSupportedError(
            f"The database {self.connection.alias!r} is a remote service: run migrations in the project of the service."
        )
