"""Features of a database of django_rpc, as Django reads them.

The client behaves as a backend with all features: native types, and rows that inserts return. If the database of the
service does not support a feature, the service returns the error of this database.
"""

from __future__ import annotations

from django.db.backends.base.features import BaseDatabaseFeatures


class DatabaseFeatures(BaseDatabaseFeatures):
    minimum_database_version = None
    allows_group_by_selected_pks = True
    can_return_columns_from_insert = True
    can_return_rows_from_bulk_insert = True
    has_native_duration_field = True
    has_native_uuid_field = True
    has_select_for_update = True
    has_select_for_update_nowait = True
    has_select_for_update_of = True
    has_select_for_update_skip_locked = True
    has_select_for_no_key_update = True
    supports_select_for_update_with_limit = True
    supports_ignore_conflicts = True
    supports_update_conflicts = True
    supports_update_conflicts_with_target = True
    supports_over_clause = True
    supports_frame_range_fixed_distance = True
    supports_frame_exclusion = True
    supports_aggregate_filter_clause = True
    supports_default_keyword_in_bulk_insert = True
    supports_json_field = True
    supports_stored_generated_columns = True
    supports_virtual_generated_columns = True
    supports_json_field_contains = True
    can_distinct_on_fields = True
    # Only Django's TestCase reads this. Without it, TestCase empties all tables of all databases, without a rollback.
    # A service in the process of the test takes part in its transaction.
    supports_transactions = True
    uses_savepoints = True
    supports_timezones = True
    supports_explaining_query_execution = True
    # Django reads these for CREATE and TRUNCATE statements, which the client never writes.
    can_create_inline_fk = False
    supports_foreign_keys = True
    can_defer_constraint_checks = False
    max_query_params = None
    test_db_allows_multiple_connections = False
