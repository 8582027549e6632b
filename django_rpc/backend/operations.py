"""Operations of the backend.

Values stay unchanged: the wire carries them exactly, and the service's backend adapts them.
"""

from __future__ import annotations

import datetime
import json
from typing import Any

from django.conf import settings
from django.db import DataError
from django.db.backends.base.operations import BaseDatabaseOperations


class DatabaseOperations(BaseDatabaseOperations):
    compiler_module = "django_rpc.backend.compiler"
    set_operators = {"union": "", "intersection": "", "difference": ""}
    # All operators and prefixes of Django, since only the service knows which its database supports.
    explain_prefix = "EXPLAIN"

    def quote_name(self, name: str) -> str:
        return name if name.startswith('"') and name.endswith('"') else f'"{name}"'

    def bulk_batch_size(self, fields: Any, objs: Any) -> int:
        """Return the number of all objects, for one message; the service splits it as its database needs."""
        return max(len(objs), 1)

    def max_name_length(self) -> int:
        return 63

    def get_db_converters(self, expression: Any) -> list[Any]:
        """Convert a content type's key from the key of the service to the key of this project."""
        from django_rpc.models.content_types import is_content_type

        target = getattr(expression, "target", None)
        if target is not None and is_content_type(target) and target.is_relation:
            return [_local_content_type]
        return []

    def adapt_datefield_value(self, value: Any) -> Any:
        return value

    def adapt_datetimefield_value(self, value: Any) -> Any:
        """Return ``value``; raise ValueError for an aware datetime where ``USE_TZ`` is False, as most backends do."""
        if isinstance(value, datetime.datetime) and value.tzinfo is not None and not settings.USE_TZ:
            raise ValueError("The django_rpc backend does not support timezone-aware datetimes when USE_TZ is False.")
        return value

    def adapt_timefield_value(self, value: Any) -> Any:
        return value

    def adapt_durationfield_value(self, value: Any) -> Any:
        return value

    def adapt_decimalfield_value(self, value: Any, max_digits: Any = None, decimal_places: Any = None) -> Any:
        return value

    def adapt_ipaddressfield_value(self, value: Any) -> Any:
        return value

    def adapt_json_value(self, value: Any, encoder: Any) -> Any:
        """Return plain JSON data; the encoder of a field converts other types."""
        if not encoder:
            return value
        try:
            return json.loads(json.dumps(value, cls=encoder))
        except json.JSONDecodeError as error:  # the error of a database
            raise DataError(f"{encoder.__name__} makes no JSON of the value: {error}") from error

    def adapt_integerfield_value(self, value: Any, internal_type: str) -> Any:
        return value

    def no_limit_value(self) -> None:
        return None

    def sql_flush(self, style: Any, tables: Any, **options: Any) -> list[str]:
        """Return no SQL: ``flush`` does not change the tables of a service."""
        return []

    def execute_sql_flush(self, sql_list: Any) -> None:
        return None


def _local_content_type(value: Any, expression: Any, connection: Any) -> Any:
    from django_rpc.models.content_types import local_key

    return local_key(value, connection.alias)
