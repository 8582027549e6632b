"""A service shows models, not tables."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.introspection import BaseDatabaseIntrospection


class DatabaseIntrospection(BaseDatabaseIntrospection):
    def get_table_list(self, cursor: Any) -> list[Any]:
        return []

    def get_sequences(self, cursor: Any, table_name: str, table_fields: Any = ()) -> list[Any]:
        return []
