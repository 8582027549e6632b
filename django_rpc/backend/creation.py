"""A test run neither creates nor destroys a service's database."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.creation import BaseDatabaseCreation


class DatabaseCreation(BaseDatabaseCreation):
    def create_test_db(self, *args: Any, **kwargs: Any) -> str:
        return str(self.connection.settings_dict.get("NAME") or self.connection.alias)

    def destroy_test_db(self, *args: Any, **kwargs: Any) -> None:
        return None

    def clone_test_db(self, *args: Any, **kwargs: Any) -> None:
        return None

    def setup_worker_connection(self, _worker_id: int) -> None:
        return None

    def serialize_db_to_string(self) -> str:
        return "[]"

    def deserialize_db_from_string(self, data: str) -> None:
        return None

    def mark_expected_failures_and_skips(self) -> None:
        return None

    def test_db_signature(self) -> tuple[str, ...]:
        return (str(self.connection.alias),)
